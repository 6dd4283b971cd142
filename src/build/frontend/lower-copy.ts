/** ADD, COPY and WORKDIR: files into the state so far. */
import { CodedError } from '#base/errors/index.ts';
import type { Edge, FileAction, SourceOp } from '#build/graph/types.ts';
import type {
  AddInstruction,
  CopyInstruction,
  InlineFile,
  WorkdirInstruction,
} from '#dockerfile/instruction/types.ts';
import { isDigest } from '#oci/digest/index.ts';
import { refuseBuildkitFlags } from './dialect.ts';
import { CONTENT_HASH, fileHistory } from './history.ts';
import { destinationOf, nextWorkdir } from './paths.ts';
import { INLINE_NAME, refuseNul, type StageState, type StepResult, unsupported } from './state.ts';

type CopyAction = Extract<FileAction, { readonly kind: 'copy' }>;
type Transfer = AddInstruction | CopyInstruction;

/** One group of sources that come from the same tree. */
interface SourceGroup {
  readonly edge: Edge;
  readonly sources: readonly string[];
  readonly unpack: boolean;
}

/** `COPY`. */
export function lowerCopy(stage: StageState, instruction: CopyInstruction): StepResult {
  refuseBuildkitFlags(
    stage.dialect,
    givenFlags({
      link: instruction.link,
      parents: instruction.parents,
      exclude: instruction.exclude.length > 0,
    }),
  );
  const sources = instruction.sources.map((source) => stage.expand(source));
  if (sources.some(isUrl)) {
    const prefix = stage.dialect === 'classic' ? 'COPY failed: ' : '';
    throw new CodedError('invalid_argument', `${prefix}source can't be a URL for COPY`);
  }
  const edge = instruction.from === '' ? undefined : stage.from(instruction.from);
  const groups = sources.length === 0 ? [] : [{ edge: edge ?? stage.context(), sources, unpack: false }];
  return lowerTransfer(stage, instruction, groups, sources);
}

/** `ADD`: local files, archives unpacked; URLs; git repositories. */
export function lowerAdd(stage: StageState, instruction: AddInstruction): StepResult {
  refuseBuildkitFlags(
    stage.dialect,
    givenFlags({
      link: instruction.link,
      exclude: instruction.exclude.length > 0,
      'keep-git-dir': instruction.keepGitDir !== undefined,
      checksum: instruction.checksum !== '',
      unpack: instruction.unpack !== undefined,
    }),
  );
  const sources = instruction.sources.map((source) => stage.expand(source));
  const checksum = instruction.checksum === '' ? '' : stage.expand(instruction.checksum);
  const groups: SourceGroup[] = [];
  for (const source of sources) {
    const remote = remoteSource(stage, instruction, source, checksum);
    if (remote !== undefined) {
      const path = remote.kind === 'http' ? remote.filename : '/';
      const edge = stage.addVertex({ kind: 'source', source: remote }, [], instruction);
      groups.push({ edge, sources: [path], unpack: remote.kind === 'http' && instruction.unpack === true });
      continue;
    }
    if (checksum !== '') {
      throw new CodedError('invalid_argument', 'checksum requires HTTP(S) or Git sources');
    }
    addLocal(groups, stage.context(), source, instruction.unpack ?? true);
  }
  return lowerTransfer(stage, instruction, groups, sources);
}

/** `WORKDIR`: makes the directory unless it is there; then the layer is empty. */
export function lowerWorkdir(stage: StageState, instruction: WorkdirInstruction): StepResult {
  const path = nextWorkdir(stage.config.WorkingDir, stage.expand(instruction.path));
  stage.config = { ...stage.config, WorkingDir: path };
  refuseNul([path]);
  const text = `WORKDIR ${path}`;
  const isRoot = destinationOf('/', path).path === '/';
  const history = fileHistory(stage.dialect, stage.config, {
    classic: text,
    buildkit: text,
    emptyLayer: isRoot,
  });
  if (isRoot) return { history };
  const owner = stage.dialect === 'buildkit' ? stage.config.User : undefined;
  const action: FileAction = {
    kind: 'mkdir',
    path: destinationOf('/', path).path.replace(/(.)\/$/, '$1'),
    modeOctal: '0755',
    parents: true,
    ...(owner ? { chown: owner } : {}),
  };
  return {
    history,
    edge: stage.addVertex({ kind: 'file', actions: [action], cwd: '/' }, [stage.root()], instruction),
  };
}

function lowerTransfer(
  stage: StageState,
  instruction: Transfer,
  groups: readonly SourceGroup[],
  sources: readonly string[],
): StepResult {
  const destination = stage.expand(instruction.destination);
  const chown = stage.expand(instruction.chown);
  const chmod = stage.expand(instruction.chmod);
  checkChmod(chmod);
  refuseNul([...sources, destination, chown]);
  const count = sources.length + instruction.inlineSources.length;
  if (stage.dialect === 'classic' && count > 1 && !destination.endsWith('/')) {
    throw new CodedError(
      'invalid_argument',
      `When using ${instruction.kind} with more than one source file, the destination must be a directory and end with a /`,
    );
  }
  const target = destinationOf(stage.config.WorkingDir, destination);
  const inputs: Edge[] = [stage.root()];
  const inline = inlineGroup(stage, instruction);
  const action = (group: SourceGroup): CopyAction => ({
    kind: 'copy',
    input: inputs.push(group.edge) - 1,
    sources: group.sources,
    destination: target.path,
    destinationIsDir: target.isDirectory || count > 1,
    ...(chown === '' ? {} : { chown }),
    ...(chmod === '' ? {} : { chmod }),
    unpack: group.unpack,
    ...(instruction.exclude.length > 0
      ? { exclude: instruction.exclude.map((pattern) => stage.expand(pattern)) }
      : {}),
    parents: instruction.kind === 'COPY' && instruction.parents,
    allowEmptyWildcard: stage.dialect === 'buildkit',
    createdBy: instruction.kind,
    link: instruction.link,
  });
  const actions = [...groups, ...inline].map(action);
  const cwd = stage.config.WorkingDir || '/';
  const owner = chown === '' ? '' : `--chown=${chown}`;
  return {
    edge: stage.addVertex({ kind: 'file', actions, cwd }, inputs, instruction),
    history: fileHistory(stage.dialect, stage.config, {
      classic: `${instruction.kind} ${owner}${CONTENT_HASH} in ${destination} `,
      buildkit: buildkitText(instruction, { sources, destination, chown, chmod }),
    }),
  };
}

function buildkitText(
  instruction: Transfer,
  values: {
    readonly sources: readonly string[];
    readonly destination: string;
    readonly chown: string;
    readonly chmod: string;
  },
): string {
  const words: string[] = [instruction.kind];
  if (instruction.kind === 'COPY' && instruction.parents) words.push('--parents');
  if (values.chown !== '') words.push(`--chown=${values.chown}`);
  if (values.chmod !== '') words.push(`--chmod=${values.chmod}`);
  words.push(...values.sources, ...instruction.inlineSources.map((file) => `<<${file.name}`));
  return `${[...words, values.destination].join(' ')} # buildkit`;
}

/** Inline files are a tree of their own, so that the destination decides about names as for any other source. */
function inlineGroup(stage: StageState, instruction: Transfer): readonly SourceGroup[] {
  const files = instruction.inlineSources;
  if (files.length === 0) return [];
  const actions = files.map(
    (file: InlineFile): FileAction => ({
      kind: 'write',
      path: `/${file.name}`,
      content: file.expand ? stage.expandFile(file.content) : file.content,
      modeOctal: '0644',
    }),
  );
  const edge = stage.addVertex(
    { kind: 'file', actions, cwd: '/' },
    [stage.scratch()],
    instruction,
    INLINE_NAME,
  );
  return [{ edge, sources: files.map((file) => file.name), unpack: false }];
}

/** Neighbouring local sources share one action, so that they are one group for the destination. */
function addLocal(groups: SourceGroup[], edge: Edge, source: string, unpack: boolean): void {
  const last = groups[groups.length - 1];
  if (last !== undefined && last.edge.vertex === edge.vertex && last.unpack === unpack) {
    groups[groups.length - 1] = { ...last, sources: [...last.sources, source] };
  } else groups.push({ edge, sources: [source], unpack });
}

function remoteSource(
  stage: StageState,
  instruction: AddInstruction,
  source: string,
  checksum: string,
): Exclude<SourceOp, { readonly kind: 'scratch' | 'image' | 'local' }> | undefined {
  if (isGit(source)) {
    if (checksum !== '') throw unsupported('ADD --checksum of a git source is not supported yet');
    const [url = '', fragment = ''] = source.split('#', 2);
    const [ref = '', subdir = ''] = fragment.split(':', 2);
    return {
      kind: 'git',
      url: url.startsWith('github.com/') ? `https://${url}` : url,
      ...(ref === '' ? {} : { ref }),
      ...(subdir === '' ? {} : { subdir }),
      keepGitDir: instruction.keepGitDir ?? false,
    };
  }
  if (!isUrl(source)) return undefined;
  if (checksum !== '' && !isDigest(checksum)) {
    throw new CodedError('invalid_argument', `invalid checksum digest format: "${checksum}"`);
  }
  const filename = filenameOf(stage, source);
  return { kind: 'http', url: source, filename, ...(isDigest(checksum) ? { checksum } : {}) };
}

function filenameOf(stage: StageState, source: string): string {
  const path = URL.canParse(source) ? new URL(source).pathname : '';
  const last = path.slice(path.lastIndexOf('/') + 1);
  if (last !== '' && last !== '.' && last !== '..') return decodeName(last);
  if (stage.dialect === 'buildkit') return '__unnamed__';
  throw new CodedError('invalid_argument', `cannot determine filename from url: ${source}`);
}

function decodeName(name: string): string {
  try {
    const decoded = decodeURIComponent(name);
    return /[/\0]/.test(decoded) ? name : decoded;
  } catch {
    return name;
  }
}

function isUrl(source: string): boolean {
  return source.startsWith('http://') || source.startsWith('https://');
}

function isGit(source: string): boolean {
  if (/^(?:git|ssh):\/\/|^git@[^/]+:|^github\.com\//.test(source)) return true;
  return isUrl(source) && /\.git(?:#.*)?$/.test(source);
}

/** Octal up to 7777, or `u+x,go=r`. */
function checkChmod(chmod: string): void {
  if (chmod === '' || /^[ugoa]*[-+=][rwxXst]*(?:,[ugoa]*[-+=][rwxXst]*)*$/.test(chmod)) return;
  if (/^[0-7]+$/.test(chmod) && Number.parseInt(chmod, 8) <= 0o7777) return;
  throw new CodedError(
    'invalid_argument',
    `invalid chmod parameter: '${chmod}'. it should be octal string and between 0 and 07777`,
  );
}

function givenFlags(flags: Readonly<Record<string, boolean>>): readonly string[] {
  return Object.keys(flags).filter((name) => flags[name]);
}
