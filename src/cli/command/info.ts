import { compileTemplate, escapeLine, formatBinarySize, goJson } from '#cli/output/index.ts';
import type { Command } from './types.ts';

type Info = Readonly<Record<string, unknown>>;

/** `slipway info`. */
export const info: Command = {
  usage: 'info [OPTIONS]',
  summary: 'Display system-wide information',
  minArgs: 0,
  maxArgs: 0,
  flags: [
    { name: 'format', short: 'f', kind: 'string', help: "Format output using a custom template or 'json'" },
  ],
  async run(context, _args, flags) {
    const engine = await context.engine();
    const value = await engine.call<Info>('GET', '/info', { signal: context.signal });
    const format = flags.string('format');
    const client = {
      Version: context.version,
      Context: engine.endpoint.text,
      Debug: false,
      Plugins: [],
      Warnings: null,
    };
    if (format === 'json') context.stdout.write(`${goJson({ ...value, ClientInfo: client })}\n`);
    else if (format) context.stdout.write(`${compileTemplate(format)({ ...value, ClientInfo: client })}\n`);
    else {
      context.stdout.write(
        `Client: Slipway\n Version:    ${context.version}\n Context:    ${engine.endpoint.text}\n Debug Mode: false\n\n`,
      );
      context.stdout.write(describe(value));
      for (const warning of listOf(value['Warnings'])) context.stderr.write(`${escapeLine(warning)}\n`);
    }
    return 0;
  },
};

function listOf(value: unknown): string[] {
  return Array.isArray(value) ? value.map(String) : [];
}

function describe(info: Info): string {
  const text = (key: string): string => {
    const value = info[key];
    return value === undefined || value === null ? '' : escapeLine(String(value));
  };
  const plugins = (info['Plugins'] ?? {}) as Readonly<Record<string, unknown>>;
  const driverStatus = Array.isArray(info['DriverStatus']) ? (info['DriverStatus'] as unknown[][]) : [];
  const rows: [string, string | undefined][] = [
    ['Server Version', text('ServerVersion')],
    ['Storage Driver', text('Driver')],
    ...driverStatus.map(([key, value]): [string, string] => [` ${String(key)}`, escapeLine(String(value))]),
    ['Logging Driver', text('LoggingDriver')],
    ['Cgroup Driver', text('CgroupDriver')],
    ['Cgroup Version', text('CgroupVersion')],
    ['Plugins', ''],
    [' Volume', listOf(plugins['Volume']).join(' ')],
    [' Network', listOf(plugins['Network']).join(' ')],
    [' Log', listOf(plugins['Log']).join(' ')],
    ['Runtimes', Object.keys((info['Runtimes'] ?? {}) as object).join(' ')],
    ['Default Runtime', text('DefaultRuntime')],
    ['Security Options', ''],
    ...listOf(info['SecurityOptions']).map((option): [string, undefined] => [
      `  ${escapeLine(option.replace(/^name=/, ''))}`,
      undefined,
    ]),
    ['Kernel Version', text('KernelVersion')],
    ['Operating System', text('OperatingSystem')],
    ['OSType', text('OSType')],
    ['Architecture', text('Architecture')],
    ['CPUs', text('NCPU')],
    ['Total Memory', formatBinarySize(Number(info['MemTotal'] ?? 0))],
    ['Name', text('Name')],
    ['ID', text('ID')],
    ['Docker Root Dir', text('DockerRootDir')],
    ['Debug Mode', text('Debug')],
    ['Experimental', text('ExperimentalBuild')],
    ['Live Restore Enabled', text('LiveRestoreEnabled')],
  ];
  const counts = ` Containers: ${text('Containers')}\n  Running: ${text('ContainersRunning')}\n  Paused: ${text('ContainersPaused')}\n  Stopped: ${text('ContainersStopped')}\n Images: ${text('Images')}\n`;
  return `Server:\n${counts}${rows.map(([label, value]) => (value === undefined ? ` ${label}\n` : ` ${label}: ${value}\n`)).join('')}\n`;
}
