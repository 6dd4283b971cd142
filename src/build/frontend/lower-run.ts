/** RUN: a command in the state so far. */
import { CodedError } from '#base/errors/index.ts';
import type { Edge, ExecMount, ExecOp } from '#build/graph/types.ts';
import { parseMount } from '#dockerfile/instruction/index.ts';
import type { Mount, RunInstruction } from '#dockerfile/instruction/types.ts';
import { chompHeredoc, findHeredocWord } from '#dockerfile/text/index.ts';
import { refuseBuildkitFlags } from './dialect.ts';
import { runHistory } from './history.ts';
import { sizeOf } from './limits.ts';
import {
  commandWords,
  INLINE_NAME,
  refuseNul,
  type StageState,
  type StepResult,
  unsupported,
} from './state.ts';

/** Where a script given by a heredoc with a shebang is mounted. */
const SCRIPT_DIRECTORY = '/dev/pipes';

interface Script {
  readonly command: readonly string[];
  /** A file to mount: the heredoc starts with `#!`. */
  readonly file?: { readonly name: string; readonly content: string };
}

/** Plans the command, its mounts, and the script it may come with. */
export function lowerRun(stage: StageState, instruction: RunInstruction): StepResult {
  refuseBuildkitFlags(stage.dialect, instruction.flagsUsed);
  if (instruction.devices.length > 0) {
    throw unsupported('device feature is only supported in Dockerfile frontend 1.14.0-labs or later');
  }
  const { options } = stage.shared;
  const script = scriptOf(instruction);
  const args = commandWords(stage, script.command, instruction.isShell);
  const environment = stage.args.run(stage.config);
  stage.shared.execBudget.spend(sizeOf(environment.env) + sizeOf(args));
  refuseNul([...args, ...environment.env, ...environment.hidden]);
  const inputs: Edge[] = [stage.root()];
  const mounts = instruction.mounts.map((text) =>
    lowerMount(
      stage,
      parseMount(text, (value) => stage.expand(value)),
      inputs,
    ),
  );
  if (script.file !== undefined) mounts.push(mountScript(stage, instruction, script.file, inputs));
  const op: ExecOp = {
    kind: 'exec',
    args,
    env: environment.env,
    cwd: stage.config.WorkingDir || '/',
    user: stage.config.User ?? '',
    network: instruction.network === 'default' ? options.network : instruction.network,
    security: instruction.security,
    ...(options.extraHosts.length > 0 ? { extraHosts: options.extraHosts } : {}),
    ...(environment.hidden.length > 0 ? { hiddenEnv: environment.hidden } : {}),
    ...(mounts.length > 0 ? { mounts } : {}),
  };
  return {
    edge: stage.addVertex(op, inputs, instruction),
    history: runHistory(stage.dialect, [...environment.historyPrefix, ...args]),
  };
}

/**
 * What a RUN with heredocs runs. A single heredoc that is the whole command is the script itself, for the shell or, with
 * `#!`, as a file; anything more complex goes to the shell with its documents, as written.
 */
function scriptOf(instruction: RunInstruction): Script {
  const { command, heredocs } = instruction;
  const [first] = heredocs;
  const [line] = command;
  if (first === undefined) return { command };
  if (line === undefined || command.length !== 1 || !instruction.isShell) {
    throw new CodedError('invalid_argument', `parsing produced an invalid run command: ${command.join(' ')}`);
  }
  if (findHeredocWord(line) === undefined) {
    const documents = heredocs.map((heredoc) => `\n${heredoc.content}${heredoc.name}`).join('');
    return { command: [line + documents] };
  }
  const content = first.chomp ? chompHeredoc(first.content) : first.content;
  if (!content.startsWith('#!')) return { command: [content] };
  return {
    command: [`${SCRIPT_DIRECTORY}/${first.name}`],
    file: { name: first.name, content },
  };
}

function mountScript(
  stage: StageState,
  instruction: RunInstruction,
  file: NonNullable<Script['file']>,
  inputs: Edge[],
): ExecMount {
  const write = { kind: 'write', path: `/${file.name}`, content: file.content, modeOctal: '0755' } as const;
  const edge = stage.addVertex(
    { kind: 'file', actions: [write], cwd: '/' },
    [stage.scratch()],
    instruction,
    INLINE_NAME,
  );
  return {
    type: 'bind',
    target: SCRIPT_DIRECTORY,
    source: '/',
    input: inputs.push(edge) - 1,
    readonly: true,
  };
}

function lowerMount(stage: StageState, mount: Mount, inputs: Edge[]): ExecMount {
  const target = mount.target || defaultTarget(mount);
  // A secret given as a variable only is mounted nowhere.
  const absolute =
    target === '' || target.startsWith('/') ? target : `${stage.config.WorkingDir ?? ''}/${target}`;
  const input = inputOf(stage, mount, inputs);
  const options = mountOptions(mount);
  return {
    type: mount.type,
    target: absolute.replaceAll(/\/{2,}/g, '/'),
    readonly: mount.readonly,
    ...(mount.source === '' || mount.type === 'secret' ? {} : { source: mount.source }),
    ...(input === undefined ? {} : { input }),
    ...idOf(mount, absolute),
    ...(Object.keys(options).length > 0 ? { options } : {}),
  };
}

function defaultTarget(mount: Mount): string {
  if (mount.type === 'secret' && mount.env !== undefined) return '';
  if (mount.type === 'secret') {
    const id = mount.id || mount.source;
    return `/run/secrets/${id.slice(id.lastIndexOf('/') + 1)}`;
  }
  if (mount.type === 'ssh') return '/run/buildkit/ssh_agent.0';
  throw new CodedError('invalid_argument', 'target must be set');
}

function inputOf(stage: StageState, mount: Mount, inputs: Edge[]): number | undefined {
  if (mount.from !== '') return inputs.push(stage.from(mount.from)) - 1;
  if (mount.type === 'bind') return inputs.push(stage.context()) - 1;
  return undefined;
}

function idOf(mount: Mount, target: string): { readonly id?: string } {
  if (mount.type === 'cache') return { id: mount.id || target };
  if (mount.type === 'secret') return { id: mount.id || mount.source || mount.target };
  if (mount.type === 'ssh') return { id: mount.id || 'default' };
  return {};
}

function mountOptions(mount: Mount): Record<string, string> {
  const options: Record<string, string> = {};
  if (mount.type === 'cache') options['sharing'] = mount.sharing || 'shared';
  if (mount.sizeLimit > 0) options['sizeBytes'] = String(mount.sizeLimit);
  if (mount.required) options['required'] = 'true';
  if (mount.env !== undefined) options['env'] = mount.env;
  if (mount.mode !== undefined) options['modeOctal'] = mount.mode.toString(8).padStart(4, '0');
  if (mount.uid !== undefined) options['uid'] = String(mount.uid);
  if (mount.gid !== undefined) options['gid'] = String(mount.gid);
  return options;
}
