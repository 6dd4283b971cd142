/** Instructions that change the config only. */
import { CodedError } from '#base/errors/index.ts';
import type {
  ArgInstruction,
  CmdInstruction,
  EntrypointInstruction,
  EnvInstruction,
  ExposeInstruction,
  HealthcheckInstruction,
  LabelInstruction,
  MaintainerInstruction,
  OnbuildInstruction,
  ShellInstruction,
  StopsignalInstruction,
  UserInstruction,
  VolumeInstruction,
} from '#dockerfile/instruction/types.ts';
import type { Healthcheck } from '#oci/config/index.ts';
import { addKeys, addLabels, setVariable } from './config.ts';
import { healthcheckFields, healthcheckQuoted, plainList, quotedList } from './go-text.ts';
import { configHistory } from './history.ts';
import { parsePorts, sortPorts } from './ports.ts';
import { checkSignal } from './signals.ts';
import { commandWords, type StageState, type StepResult } from './state.ts';

function result(
  stage: StageState,
  classic: string,
  buildkit: string = classic,
  notes: readonly string[] = [],
): StepResult {
  return { history: configHistory(stage.dialect, stage.config, { classic, buildkit }), notes };
}

/** `ARG`: the value is known from here on. The classic history tells the default, BuildKit's the value. */
export function lowerArg(stage: StageState, instruction: ArgInstruction): StepResult {
  const classic: string[] = [];
  const buildkit: string[] = [];
  for (const arg of instruction.args) {
    const key = stage.expand(arg.key);
    const value = arg.value === undefined ? undefined : stage.expand(arg.value);
    const effective = stage.args.declare(key, value);
    classic.push(value === undefined ? key : `${key}=${value}`);
    buildkit.push(effective === undefined ? key : `${key}=${effective}`);
  }
  return result(stage, `ARG ${classic.join(' ')}`, `ARG ${buildkit.join(' ')}`);
}

/** `ENV`: all values see the variables as they were before. */
export function lowerEnv(stage: StageState, instruction: EnvInstruction): StepResult {
  const pairs = instruction.pairs.map(({ key, value }) => ({
    key: stage.expand(key),
    value: stage.expand(value),
  }));
  let env = stage.config.Env ?? [];
  for (const { key, value } of pairs) {
    env = setVariable(env, key, value);
    stage.args.assign(key, value);
  }
  stage.config = { ...stage.config, Env: env };
  return result(stage, `ENV ${pairs.map(({ key, value }) => `${key}=${value}`).join(' ')}`);
}

/** `LABEL`. */
export function lowerLabel(stage: StageState, instruction: LabelInstruction): StepResult {
  const pairs = instruction.pairs.map(({ key, value }) => ({
    key: stage.expand(key),
    value: stage.expand(value),
  }));
  stage.config = { ...stage.config, Labels: addLabels(stage.config.Labels, pairs) };
  return result(stage, `LABEL ${pairs.map(({ key, value }) => `${key}=${value}`).join(' ')}`);
}

/** `MAINTAINER`: author of the image and of the history from here on. */
export function lowerMaintainer(stage: StageState, instruction: MaintainerInstruction): StepResult {
  stage.author = instruction.maintainer;
  return result(stage, `MAINTAINER ${instruction.maintainer}`);
}

/** `CMD`. */
export function lowerCmd(stage: StageState, instruction: CmdInstruction): StepResult {
  const command = commandWords(stage, instruction.command, instruction.isShell);
  const escaped = stage.dialect === 'buildkit' ? { ArgsEscaped: true } : {};
  stage.config = { ...stage.config, Cmd: command, ...escaped };
  stage.hasOwnCmd = instruction.command.length > 0 || stage.dialect === 'buildkit';
  return result(stage, `CMD ${quotedList(command)}`);
}

/** `ENTRYPOINT`: a CMD of the base image no longer fits and goes, one of this stage stays. */
export function lowerEntrypoint(stage: StageState, instruction: EntrypointInstruction): StepResult {
  const isEmpty = instruction.command.length === 0;
  const entrypoint =
    isEmpty && stage.dialect === 'classic'
      ? []
      : commandWords(stage, instruction.command, instruction.isShell);
  const isNothing = entrypoint.length === 0;
  stage.config = {
    ...stage.config,
    Entrypoint: isNothing ? null : entrypoint,
    ...(stage.hasOwnCmd ? {} : { Cmd: null }),
  };
  return result(stage, `ENTRYPOINT ${quotedList(entrypoint)}`);
}

/** `SHELL`. */
export function lowerShell(stage: StageState, instruction: ShellInstruction): StepResult {
  stage.config = { ...stage.config, Shell: instruction.shell };
  return result(stage, `SHELL ${plainList(instruction.shell)}`);
}

/** `EXPOSE`: variables may hold several ports. */
export function lowerExpose(stage: StageState, instruction: ExposeInstruction): StepResult {
  const words = instruction.ports.flatMap((port) => stage.expandWords(port));
  const ports = words.flatMap((word) => parsePorts(word, stage.dialect));
  stage.config = { ...stage.config, ExposedPorts: addKeys(stage.config.ExposedPorts, ports) };
  return result(stage, `EXPOSE ${words.join(' ')}`, `EXPOSE ${plainList(sortPorts(ports))}`);
}

/** `VOLUME`. */
export function lowerVolume(stage: StageState, instruction: VolumeInstruction): StepResult {
  const volumes = instruction.volumes.map((volume) => stage.expand(volume));
  if (volumes.includes('')) {
    throw new CodedError('invalid_argument', 'VOLUME specified can not be an empty string');
  }
  stage.config = { ...stage.config, Volumes: addKeys(stage.config.Volumes, volumes) };
  return result(stage, `VOLUME ${plainList(volumes)}`);
}

/** `USER`. */
export function lowerUser(stage: StageState, instruction: UserInstruction): StepResult {
  const user = stage.expand(instruction.user);
  stage.config = { ...stage.config, User: user };
  return result(stage, `USER ${user}`);
}

/** `STOPSIGNAL`. */
export function lowerStopsignal(stage: StageState, instruction: StopsignalInstruction): StepResult {
  const signal = stage.expand(instruction.signal);
  checkSignal(signal);
  stage.config = { ...stage.config, StopSignal: signal };
  return result(stage, `STOPSIGNAL ${signal}`);
}

/** `ONBUILD`: kept as text for builds on this image. */
export function lowerOnbuild(stage: StageState, instruction: OnbuildInstruction): StepResult {
  stage.config = { ...stage.config, OnBuild: [...(stage.config.OnBuild ?? []), instruction.expression] };
  // BuildKit tells nothing about it.
  if (stage.dialect === 'buildkit') return { history: undefined };
  return result(stage, `ONBUILD ${instruction.expression}`);
}

/** `HEALTHCHECK`: replaces an earlier one whole. */
export function lowerHealthcheck(stage: StageState, instruction: HealthcheckInstruction): StepResult {
  const old = stage.config.Healthcheck?.Test ?? [];
  const isOverride = old.length > 0 && old[0] !== 'NONE';
  const check: Healthcheck = {
    Test: instruction.test,
    ...(instruction.interval === 0 ? {} : { Interval: instruction.interval }),
    ...(instruction.timeout === 0 ? {} : { Timeout: instruction.timeout }),
    ...(instruction.startPeriod === 0 ? {} : { StartPeriod: instruction.startPeriod }),
    ...(instruction.startInterval === 0 ? {} : { StartInterval: instruction.startInterval }),
    ...(instruction.retries === 0 ? {} : { Retries: instruction.retries }),
  };
  stage.config = { ...stage.config, Healthcheck: check };
  return result(
    stage,
    `HEALTHCHECK ${healthcheckQuoted(check)}`,
    `HEALTHCHECK ${healthcheckFields(check)}`,
    isOverride ? [`Note: overriding previous HEALTHCHECK: ${plainList(old)}`] : [],
  );
}
