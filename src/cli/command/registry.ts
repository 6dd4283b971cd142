/** The table of commands: words to the file that knows them. Nothing is loaded before it is asked for. */
import type { Command } from './types.ts';

/** Loads a command. */
export type Loader = () => Promise<Command>;

/** A word that groups commands, such as `image`. */
export interface Group {
  readonly summary: string;
  readonly commands: Readonly<Record<string, string>>;
}

/** Commands at the top: word to summary and loader. */
export const COMMANDS: Readonly<Record<string, { readonly summary: string; readonly load: Loader }>> = {
  run: {
    summary: 'Create and run a new container from an image',
    load: async () => (await import('./run.ts')).run,
  },
  create: { summary: 'Create a new container', load: async () => (await import('./run.ts')).create },
  exec: {
    summary: 'Execute a command in a running container',
    load: async () => (await import('./exec.ts')).exec,
  },
  ps: { summary: 'List containers', load: async () => (await import('./ps.ts')).ps },
  build: {
    summary: 'Build an image from a Dockerfile',
    load: async () => (await import('./build.ts')).build,
  },
  pull: { summary: 'Download an image from a registry', load: async () => (await import('./pull.ts')).pull },
  push: { summary: 'Upload an image to a registry', load: async () => (await import('./push.ts')).push },
  images: { summary: 'List images', load: async () => (await import('./images.ts')).images },
  login: { summary: 'Authenticate to a registry', load: async () => (await import('./login.ts')).login },
  logout: { summary: 'Log out from a registry', load: async () => (await import('./login.ts')).logout },
  version: {
    summary: 'Show the version information',
    load: async () => (await import('./version.ts')).version,
  },
  info: { summary: 'Display system-wide information', load: async () => (await import('./info.ts')).info },
  attach: {
    summary: 'Attach local standard input, output, and error streams to a running container',
    load: async () => (await import('./attach.ts')).attach,
  },
  cp: {
    summary: 'Copy files/folders between a container and the local filesystem',
    load: async () => (await import('./cp.ts')).cp,
  },
  export: {
    summary: "Export a container's filesystem as a tar archive",
    load: async () => (await import('./archive.ts')).exportContainer,
  },
  history: {
    summary: 'Show the history of an image',
    load: async () => (await import('./history.ts')).history,
  },
  import: {
    summary: 'Import the contents from a tarball to create a filesystem image',
    load: async () => (await import('./archive.ts')).importImage,
  },
  inspect: {
    summary: 'Return low-level information on Docker objects',
    load: async () => (await import('./inspect.ts')).inspect,
  },
  kill: {
    summary: 'Kill one or more running containers',
    load: async () => (await import('./lifecycle.ts')).kill,
  },
  load: {
    summary: 'Load an image from a tar archive or STDIN',
    load: async () => (await import('./archive.ts')).loadImages,
  },
  logs: { summary: 'Fetch the logs of a container', load: async () => (await import('./logs.ts')).logs },
  restart: {
    summary: 'Restart one or more containers',
    load: async () => (await import('./lifecycle.ts')).restart,
  },
  rm: { summary: 'Remove one or more containers', load: async () => (await import('./lifecycle.ts')).rm },
  rmi: { summary: 'Remove one or more images', load: async () => (await import('./rmi.ts')).rmi },
  save: {
    summary: 'Save one or more images to a tar archive (streamed to STDOUT by default)',
    load: async () => (await import('./archive.ts')).saveImages,
  },
  commit: {
    summary: "Create a new image from a container's changes",
    load: async () => (await import('./commit.ts')).commit,
  },
  diff: {
    summary: "Inspect changes to files or directories on a container's filesystem",
    load: async () => (await import('./diff.ts')).diff,
  },
  events: {
    summary: 'Get real time events from the server',
    load: async () => (await import('./events.ts')).events,
  },
  pause: {
    summary: 'Pause all processes within one or more containers',
    load: async () => (await import('./lifecycle.ts')).pause,
  },
  port: {
    summary: 'List port mappings or a specific mapping for the container',
    load: async () => (await import('./port.ts')).port,
  },
  rename: { summary: 'Rename a container', load: async () => (await import('./rename.ts')).rename },
  top: {
    summary: 'Display the running processes of a container',
    load: async () => (await import('./top.ts')).top,
  },
  unpause: {
    summary: 'Unpause all processes within one or more containers',
    load: async () => (await import('./lifecycle.ts')).unpause,
  },
  start: {
    summary: 'Start one or more stopped containers',
    load: async () => (await import('./start.ts')).start,
  },
  stop: {
    summary: 'Stop one or more running containers',
    load: async () => (await import('./lifecycle.ts')).stop,
  },
  tag: {
    summary: 'Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE',
    load: async () => (await import('./rmi.ts')).tag,
  },
  wait: {
    summary: 'Block until one or more containers stop, then print their exit codes',
    load: async () => (await import('./lifecycle.ts')).wait,
  },
  up: {
    summary: 'Start the engine and the hub in the background',
    load: async () => (await import('./up.ts')).up,
  },
  down: { summary: 'Stop what `up` has started', load: async () => (await import('./up.ts')).down },
  status: {
    summary: 'Show whether the engine and the hub run',
    load: async () => (await import('./up.ts')).status,
  },
  doctor: {
    summary: 'Find out what keeps this machine from working, and how to fix it',
    load: async () => (await import('./doctor.ts')).doctor,
  },
};

/** Commands that live in a group only. */
const GROUPED: Readonly<Record<string, Loader>> = {
  'network ls': async () => (await import('./network.ts')).networkList,
  'network connect': async () => (await import('./network-connect.ts')).networkConnect,
  'network disconnect': async () => (await import('./network-connect.ts')).networkDisconnect,
  'network create': async () => (await import('./network.ts')).networkCreate,
  'network rm': async () => (await import('./network.ts')).networkRemove,
  'network inspect': async () => (await import('./inspect.ts')).inspectNetwork,
  'network prune': async () => (await import('./prune.ts')).networkPrune,
  'volume ls': async () => (await import('./volume.ts')).volumeList,
  'volume create': async () => (await import('./volume.ts')).volumeCreate,
  'volume rm': async () => (await import('./volume.ts')).volumeRemove,
  'volume inspect': async () => (await import('./inspect.ts')).inspectVolume,
  'volume prune': async () => (await import('./prune.ts')).volumePrune,
  'image inspect': async () => (await import('./inspect.ts')).inspectImage,
  'image prune': async () => (await import('./prune.ts')).imagePrune,
  'container inspect': async () => (await import('./inspect.ts')).inspectContainer,
  'container prune': async () => (await import('./prune.ts')).containerPrune,
  'builder prune': async () => (await import('./prune.ts')).builderPrune,
  'system prune': async () => (await import('./prune.ts')).systemPrune,
  'system df': async () => (await import('./disk.ts')).diskUsage,
};

/** Groups: word to summary, and sub-command to the entry it means. */
export const GROUPS: Readonly<Record<string, Group>> = {
  builder: { summary: 'Manage builds', commands: { build: 'build', prune: 'builder prune' } },
  container: {
    summary: 'Manage containers',
    commands: {
      attach: 'attach',
      commit: 'commit',
      cp: 'cp',
      create: 'create',
      diff: 'diff',
      exec: 'exec',
      export: 'export',
      inspect: 'container inspect',
      kill: 'kill',
      logs: 'logs',
      ls: 'ps',
      list: 'ps',
      ps: 'ps',
      pause: 'pause',
      port: 'port',
      prune: 'container prune',
      rename: 'rename',
      restart: 'restart',
      rm: 'rm',
      run: 'run',
      start: 'start',
      stop: 'stop',
      top: 'top',
      unpause: 'unpause',
      wait: 'wait',
    },
  },
  image: {
    summary: 'Manage images',
    commands: {
      build: 'build',
      history: 'history',
      import: 'import',
      inspect: 'image inspect',
      load: 'load',
      ls: 'images',
      list: 'images',
      prune: 'image prune',
      pull: 'pull',
      push: 'push',
      rm: 'rmi',
      remove: 'rmi',
      save: 'save',
      tag: 'tag',
    },
  },
  network: {
    summary: 'Manage networks',
    commands: {
      connect: 'network connect',
      create: 'network create',
      disconnect: 'network disconnect',
      inspect: 'network inspect',
      ls: 'network ls',
      list: 'network ls',
      prune: 'network prune',
      rm: 'network rm',
      remove: 'network rm',
    },
  },
  system: {
    summary: 'Manage the engine',
    commands: { df: 'system df', events: 'events', info: 'info', prune: 'system prune' },
  },
  volume: {
    summary: 'Manage volumes',
    commands: {
      create: 'volume create',
      inspect: 'volume inspect',
      ls: 'volume ls',
      list: 'volume ls',
      prune: 'volume prune',
      rm: 'volume rm',
      remove: 'volume rm',
    },
  },
};

/** The loader of a command by its entry's name. */
export function findLoader(entry: string): Loader | undefined {
  if (Object.hasOwn(COMMANDS, entry)) return COMMANDS[entry]?.load;
  return Object.hasOwn(GROUPED, entry) ? GROUPED[entry] : undefined;
}
