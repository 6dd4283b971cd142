/** One instruction to what it changes. */
import type { StageInstruction } from '#dockerfile/instruction/types.ts';
import { configHistory } from './history.ts';
import {
  lowerArg,
  lowerCmd,
  lowerEntrypoint,
  lowerEnv,
  lowerExpose,
  lowerHealthcheck,
  lowerLabel,
  lowerMaintainer,
  lowerOnbuild,
  lowerShell,
  lowerStopsignal,
  lowerUser,
  lowerVolume,
} from './lower-config.ts';
import { lowerAdd, lowerCopy, lowerWorkdir } from './lower-copy.ts';
import { lowerRun } from './lower-run.ts';
import type { StageState, StepResult } from './state.ts';

/** Changes `stage` as the instruction says; its step is not recorded yet. */
export function lowerInstruction(stage: StageState, instruction: StageInstruction): StepResult {
  switch (instruction.kind) {
    case 'ADD':
      return lowerAdd(stage, instruction);
    case 'ARG':
      return lowerArg(stage, instruction);
    case 'CMD':
      return lowerCmd(stage, instruction);
    case 'COPY':
      return lowerCopy(stage, instruction);
    case 'ENTRYPOINT':
      return lowerEntrypoint(stage, instruction);
    case 'ENV':
      return lowerEnv(stage, instruction);
    case 'EXPOSE':
      return lowerExpose(stage, instruction);
    case 'HEALTHCHECK':
      return lowerHealthcheck(stage, instruction);
    case 'LABEL':
      return lowerLabel(stage, instruction);
    case 'MAINTAINER':
      return lowerMaintainer(stage, instruction);
    case 'ONBUILD':
      return lowerOnbuild(stage, instruction);
    case 'RUN':
      return lowerRun(stage, instruction);
    case 'SHELL':
      return lowerShell(stage, instruction);
    case 'STOPSIGNAL':
      return lowerStopsignal(stage, instruction);
    case 'USER':
      return lowerUser(stage, instruction);
    case 'VOLUME':
      return lowerVolume(stage, instruction);
    case 'WORKDIR':
      return lowerWorkdir(stage, instruction);
  }
}

/** History of a label from the command line, whose value is taken as it is. */
export function labelHistory(stage: StageState, text: string): StepResult {
  return { history: configHistory(stage.dialect, stage.config, { classic: text, buildkit: text }) };
}
