import { CodedError } from '#base/errors/index.ts';
import type { ExecRequest } from '#container/types.ts';
import { streamType } from '../container/index.ts';
import type { RequestContext, Route } from '../core/index.ts';
import type { ExecBackend } from './backend.ts';

interface CreateBody {
  readonly AttachStdin: boolean;
  readonly AttachStdout: boolean;
  readonly AttachStderr: boolean;
  readonly DetachKeys: string;
  readonly Tty: boolean;
  readonly Cmd: readonly string[] | string;
  readonly Env: readonly string[] | null;
  readonly User: string;
  readonly Privileged: boolean;
  readonly WorkingDir: string;
  readonly ConsoleSize: readonly [number, number] | null;
}

interface StartBody {
  readonly Detach: boolean;
  readonly Tty: boolean;
  readonly ConsoleSize: readonly [number, number] | null;
}

/** `/exec`: further processes in running containers. */
export function createExecRoutes(backend: ExecBackend): Route[] {
  return [
    {
      method: 'POST',
      path: '/containers/:id/exec',
      summary: 'Prepare a process in a container',
      handler: (context) => create(backend, context),
    },
    {
      method: 'POST',
      path: '/exec/:id/start',
      summary: 'Start a prepared process',
      hijacks: true,
      handler: (context) => start(backend, context),
    },
    {
      method: 'POST',
      path: '/exec/:id/resize',
      summary: 'Resize a process’s terminal',
      handler: (context) => resize(backend, context),
    },
    {
      method: 'GET',
      path: '/exec/:id/json',
      summary: 'Inspect a process',
      handler: (context) => context.sendJson(200, inspect(backend, context.params['id'] ?? '')),
    },
  ];
}

async function create(backend: ExecBackend, context: RequestContext): Promise<void> {
  const body = await context.readJson<CreateBody>();
  const cmd: unknown = body?.Cmd;
  const words = typeof cmd === 'string' ? [cmd] : cmd;
  if (!Array.isArray(words) || words.length === 0 || words.some((word) => typeof word !== 'string')) {
    throw new CodedError('invalid_argument', 'No exec command specified');
  }
  const request: ExecRequest = {
    cmd: words as string[],
    env: body?.Env ?? [],
    user: body?.User ?? '',
    workingDir: body?.WorkingDir ?? '',
    privileged: body?.Privileged === true,
    tty: body?.Tty === true,
    attachStdin: body?.AttachStdin === true,
    attachStdout: body?.AttachStdout === true,
    attachStderr: body?.AttachStderr === true,
    detachKeys: body?.DetachKeys ?? '',
    ...(body?.ConsoleSize ? { consoleSize: body.ConsoleSize } : {}),
  };
  const exec = await backend.createExec(context.params['id'] ?? '', request);
  context.sendJson(201, { Id: exec.id });
}

async function start(backend: ExecBackend, context: RequestContext): Promise<void> {
  const body = await context.readJson<StartBody>();
  const detach = body?.Detach === true;
  const started = await backend.startExec(context.params['id'] ?? '', {
    detach,
    tty: body?.Tty === true,
    ...(body?.ConsoleSize ? { size: body.ConsoleSize } : {}),
  });
  if (detach) {
    context.sendStatus(200);
    return;
  }
  await started.run(
    context.hijack({ contentType: streamType(context, started.tty) }),
    context.request.socket,
  );
}

async function resize(backend: ExecBackend, context: RequestContext): Promise<void> {
  const [rows, columns] = [context.query.integer('h') ?? 0, context.query.integer('w') ?? 0];
  if (rows < 0 || columns < 0 || rows > 65535 || columns > 65535) {
    throw new CodedError('invalid_argument', `invalid terminal size ${columns}x${rows}`);
  }
  await backend.resizeExec(context.params['id'] ?? '', { rows, columns });
  context.sendStatus(200);
}

function inspect(backend: ExecBackend, id: string): object {
  const exec = backend.getExec(id);
  const { request } = exec;
  const [entrypoint = '', ...args] = request.cmd;
  return {
    ID: exec.id,
    Running: exec.running,
    ExitCode: exec.exitCode ?? null,
    ProcessConfig: {
      tty: request.tty,
      entrypoint,
      arguments: args,
      privileged: request.privileged,
      ...(request.user === '' ? {} : { user: request.user }),
    },
    OpenStdin: request.attachStdin,
    OpenStderr: request.attachStderr,
    OpenStdout: request.attachStdout,
    CanRemove: !exec.running && exec.exitCode !== undefined,
    ContainerID: exec.containerId,
    DetachKeys: '',
    Pid: exec.pid,
  };
}
