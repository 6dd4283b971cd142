import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CodedError } from '#base/errors/index.ts';
import { escapeText } from '#cli/output/index.ts';
import { createEngineClient, parseEndpoint } from '#engine/client/index.ts';
import { usageError } from './flags.ts';
import { SLIPWAY_SOCKET } from './host.ts';
import {
  isAlive,
  readState,
  removeState,
  type ServiceProcess,
  type ServiceState,
  serviceRoot,
  startTicksOf,
  writeState,
} from './service-state.ts';
import type { CliContext, Command, Flag } from './types.ts';

const READY_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 30_000;
const POLL_MS = 50;
const DEFAULT_LISTEN = '127.0.0.1:5000';
const LOG_TAIL_BYTES = 4096;

const ROOT: Flag = { name: 'root', kind: 'string', help: 'Folder for the data of engine and hub' };

/** `slipway up`. */
export const up: Command = {
  usage: 'up [OPTIONS]',
  summary: 'Start the engine and the hub in the background',
  minArgs: 0,
  maxArgs: 0,
  flags: [
    ROOT,
    { name: 'hub-listen', kind: 'string', default: DEFAULT_LISTEN, help: 'Address of the hub' },
    { name: 'no-hub', kind: 'bool', help: 'Start the engine only' },
    { name: 'no-engine', kind: 'bool', help: 'Start the hub only' },
    { name: 'engine-arg', kind: 'list', help: 'Further argument for the engine (may be repeated)' },
    { name: 'hub-arg', kind: 'list', help: 'Further argument for the hub (may be repeated)' },
  ],
  async run(context, _args, flags) {
    const root = serviceRoot(context, flags.string('root'));
    const before = readState(root);
    const started: { engine?: ServiceProcess; hub?: ServiceProcess } = { ...before };
    mkdirSync(root, { recursive: true, mode: 0o700 });
    if (!flags.bool('no-engine') && before.engine === undefined) {
      if (process.getuid?.() !== 0)
        throw new CodedError(
          'permission_denied',
          'the engine needs root: it mounts file systems and makes networks',
          {
            help: { id: 'up/needs-root', fix: [`sudo ${context.program} up`] },
          },
        );
      const socket = flags.string('root') === undefined ? SLIPWAY_SOCKET : join(root, 'slipway.sock');
      mkdirSync(dirname(socket), { recursive: true, mode: 0o755 });
      started.engine = startService(context, root, 'engine', `unix://${socket}`, [
        'daemon',
        '--root',
        join(root, 'engine'),
        '--exec-root',
        flags.string('root') === undefined ? '/var/run/slipway' : join(root, 'run'),
        '--host',
        `unix://${socket}`,
        ...flags.list('engine-arg'),
      ]);
      writeState(root, started);
    }
    if (!flags.bool('no-hub') && before.hub === undefined) {
      const listen = flags.string('hub-listen') ?? DEFAULT_LISTEN;
      if (!/^[^/]+:\d+$/.test(listen))
        throw usageError(`invalid argument ${JSON.stringify(listen)} for "--hub-listen" flag`);
      const data = ['hub', '--root', join(root, 'hub'), '--listen', listen];
      started.hub = startService(context, root, 'hub', `http://${listen}`, [
        ...data,
        ...flags.list('hub-arg'),
      ]);
      writeState(root, started);
    }
    for (const name of ['engine', 'hub'] as const) {
      const service = started[name];
      if (service === undefined) continue;
      await waitReady(context, root, name, service);
      const again = before[name] === undefined ? 'started' : 'already runs';
      context.stdout.write(`${name.padEnd(7)}${again}: ${service.address} (pid ${service.pid})\n`);
    }
    if (started.hub !== undefined) context.stdout.write(`page   ${started.hub.address}/\n`);
    if (started.engine !== undefined && flags.string('root') !== undefined)
      context.stdout.write(`use    export SLIPWAY_HOST=${started.engine.address}\n`);
    return 0;
  },
};

/** `slipway down`. */
export const down: Command = {
  usage: 'down [OPTIONS]',
  summary: 'Stop what `up` has started. Containers go on running',
  minArgs: 0,
  maxArgs: 0,
  flags: [ROOT],
  async run(context, _args, flags) {
    const root = serviceRoot(context, flags.string('root'));
    const state = readState(root);
    const running = (['hub', 'engine'] as const).flatMap((name) => {
      const service = state[name];
      return service === undefined ? [] : [{ name, service }];
    });
    if (running.length === 0) context.stdout.write('nothing runs\n');
    for (const { service } of running) process.kill(service.pid, 'SIGTERM');
    for (const { name, service } of running) {
      await waitGone(name, service);
      context.stdout.write(`${name.padEnd(7)}stopped\n`);
    }
    removeState(root);
    return 0;
  },
};

/** `slipway status`. */
export const status: Command = {
  usage: 'status [OPTIONS]',
  summary: 'Show whether the engine and the hub run',
  minArgs: 0,
  maxArgs: 0,
  flags: [ROOT, { name: 'format', kind: 'string', help: "Format output: 'json'" }],
  async run(context, _args, flags) {
    const root = serviceRoot(context, flags.string('root'));
    const state = readState(root);
    const engine = await engineStatus(context, state);
    const hub = await hubStatus(state);
    if (flags.string('format') === 'json') context.stdout.write(`${JSON.stringify({ root, engine, hub })}\n`);
    else {
      context.stdout.write(`engine ${describe(engine)}\n`);
      context.stdout.write(`hub    ${describe(hub)}\n`);
      context.stdout.write(`data   ${root}\n`);
      if (!engine.isActive) context.stdout.write(`start  ${context.program} up\n`);
    }
    return engine.isActive ? 0 : 3;
  },
};

interface Status {
  readonly isActive: boolean;
  readonly address?: string;
  readonly pid?: number;
  readonly detail?: string;
}

function describe({ isActive, address, pid, detail }: Status): string {
  const facts = [address, pid === undefined ? undefined : `pid ${pid}`, detail].filter(
    (fact) => fact !== undefined,
  );
  return `${isActive ? 'active (running)' : 'inactive'}${facts.length > 0 ? `: ${facts.join(', ')}` : ''}`;
}

async function engineStatus(context: CliContext, state: ServiceState): Promise<Status> {
  const pid = state.engine === undefined ? {} : { pid: state.engine.pid };
  try {
    const engine =
      state.engine === undefined
        ? await context.engine()
        : createEngineClient(parseEndpoint(state.engine.address));
    const { Version: version } = await engine.call<{ Version: string }>('GET', '/version');
    return { isActive: true, address: engine.endpoint.text, detail: `version ${version}`, ...pid };
  } catch (error) {
    return { isActive: false, detail: error instanceof Error ? error.message : String(error), ...pid };
  }
}

async function hubStatus({ hub }: ServiceState): Promise<Status> {
  if (hub === undefined) return { isActive: false };
  return { isActive: await answers(hub.address), address: hub.address, pid: hub.pid };
}

function startService(
  context: CliContext,
  root: string,
  name: 'engine' | 'hub',
  address: string,
  words: readonly string[],
): ServiceProcess {
  const log = openSync(join(root, `${name}.log`), 'a', 0o600);
  const [program = '', ...first] = context.selfCommand;
  const child = spawn(program, [...first, ...words], {
    detached: true,
    stdio: ['ignore', log, log],
    cwd: '/',
  });
  closeSync(log);
  child.unref();
  const pid = child.pid ?? 0;
  return { pid, startTicks: startTicksOf(pid) ?? '', address };
}

async function waitReady(
  context: CliContext,
  root: string,
  name: string,
  service: ServiceProcess,
): Promise<void> {
  const until = performance.now() + READY_TIMEOUT_MS;
  while (!(await answers(service.address))) {
    if (!isAlive(service))
      throw notStarted(context, root, name, `it ended at once:\n${tailOf(join(root, `${name}.log`))}`);
    if (performance.now() > until)
      throw notStarted(context, root, name, `it does not answer at ${service.address}`);
    await sleep(POLL_MS);
  }
}

function notStarted(context: CliContext, root: string, name: string, cause: string): CodedError {
  return new CodedError('unavailable', `cannot start the ${name}`, {
    help: {
      id: `up/${name}-failed`,
      cause,
      fix: [`tail ${join(root, `${name}.log`)}`, `${context.program} doctor`],
    },
  });
}

function tailOf(path: string): string {
  try {
    const { size } = statSync(path);
    return escapeText(readFileSync(path, 'utf8').slice(-Math.min(size, LOG_TAIL_BYTES))).trimEnd();
  } catch {
    return '(no log)';
  }
}

async function answers(address: string): Promise<boolean> {
  const isEngine = address.startsWith('unix://');
  try {
    const client = createEngineClient(parseEndpoint(address));
    const response = await client.send('GET', isEngine ? '/_ping' : '/v2/', {
      headers: { host: isEngine ? 'docker' : new URL(address).host },
      signal: AbortSignal.timeout(2000),
    });
    response.takeSocket().socket.destroy();
    return response.status < 500;
  } catch {
    return false; // not yet, or no longer
  }
}

async function waitGone(name: string, service: ServiceProcess): Promise<void> {
  const until = performance.now() + STOP_TIMEOUT_MS;
  while (isAlive(service)) {
    if (performance.now() > until)
      throw new CodedError('unavailable', `the ${name} (pid ${service.pid}) does not end`, {
        help: { id: 'down/still-running', fix: [`kill -9 ${service.pid}`] },
      });
    await sleep(POLL_MS);
  }
}
