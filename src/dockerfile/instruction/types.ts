import type { KeyValue, LineRange } from '#dockerfile/text/types.ts';

/** What every instruction carries. */
export interface InstructionSource {
  /** Keyword as written. */
  readonly keyword: string;
  /** The whole instruction on one line. */
  readonly text: string;
  readonly range: LineRange;
  /** Comment lines right before it. */
  readonly comments: readonly string[];
}

/** A file given inline by a heredoc. */
export interface InlineFile {
  /** Name of the heredoc; the file's name when the destination is a directory. */
  readonly name: string;
  /** Tabs of `<<-` are removed. */
  readonly content: string;
  /** Variables in it are replaced. */
  readonly expand: boolean;
}

/** Sources and destination of ADD and COPY. */
export interface Transfer {
  readonly sources: readonly string[];
  readonly inlineSources: readonly InlineFile[];
  readonly destination: string;
  readonly chown: string;
  readonly chmod: string;
  readonly link: boolean;
  readonly exclude: readonly string[];
}

/** A command in shell form (one string for the shell) or exec form. */
export interface CommandLine {
  readonly command: readonly string[];
  readonly isShell: boolean;
  readonly heredocs: readonly {
    readonly name: string;
    readonly content: string;
    readonly chomp: boolean;
    readonly expand: boolean;
  }[];
}

/** A parsed `ADD`. */
export interface AddInstruction extends InstructionSource, Transfer {
  readonly kind: 'ADD';
  /** `undefined`: not given. */
  readonly keepGitDir: boolean | undefined;
  readonly checksum: string;
  readonly unpack: boolean | undefined;
}

/** A parsed `ARG`. */
export interface ArgInstruction extends InstructionSource {
  readonly kind: 'ARG';
  readonly args: readonly {
    readonly key: string;
    /** `undefined`: no default. */
    readonly value: string | undefined;
    /** From a comment `# key …`. */
    readonly description: string;
  }[];
}

/** A parsed `CMD`. */
export interface CmdInstruction extends InstructionSource, CommandLine {
  readonly kind: 'CMD';
}

/** A parsed `COPY`. */
export interface CopyInstruction extends InstructionSource, Transfer {
  readonly kind: 'COPY';
  /** Stage, image or named context; empty: the build context. */
  readonly from: string;
  readonly parents: boolean;
}

/** A parsed `ENTRYPOINT`. */
export interface EntrypointInstruction extends InstructionSource, CommandLine {
  readonly kind: 'ENTRYPOINT';
}

/** A parsed `ENV`. */
export interface EnvInstruction extends InstructionSource {
  readonly kind: 'ENV';
  readonly pairs: readonly KeyValue[];
}

/** A parsed `EXPOSE`. */
export interface ExposeInstruction extends InstructionSource {
  readonly kind: 'EXPOSE';
  readonly ports: readonly string[];
}

/** A parsed `FROM`. */
export interface FromInstruction extends InstructionSource {
  readonly kind: 'FROM';
  readonly base: string;
  /** Lower case; `undefined` when it has none. */
  readonly name: string | undefined;
  readonly platform: string;
  readonly description: string;
}

/** Durations are nanoseconds; 0 is not given. */
export interface HealthcheckInstruction extends InstructionSource {
  readonly kind: 'HEALTHCHECK';
  readonly test: readonly string[];
  readonly interval: number;
  readonly timeout: number;
  readonly startPeriod: number;
  readonly startInterval: number;
  readonly retries: number;
}

/** A parsed `LABEL`. */
export interface LabelInstruction extends InstructionSource {
  readonly kind: 'LABEL';
  readonly pairs: readonly KeyValue[];
}

/** A parsed `MAINTAINER`. */
export interface MaintainerInstruction extends InstructionSource {
  readonly kind: 'MAINTAINER';
  readonly maintainer: string;
}

/** A parsed `ONBUILD`. */
export interface OnbuildInstruction extends InstructionSource {
  readonly kind: 'ONBUILD';
  /** The trigger as text, heredocs included, to be parsed by the build that uses the image. */
  readonly expression: string;
}

/** A parsed `RUN`. */
export interface RunInstruction extends InstructionSource, CommandLine {
  readonly kind: 'RUN';
  /** `--mount` values as written; their variables are replaced at planning. */
  readonly mounts: readonly string[];
  readonly network: 'default' | 'none' | 'host';
  readonly security: 'sandbox' | 'insecure';
  readonly devices: readonly string[];
  /** Names of the flags that were given. */
  readonly flagsUsed: readonly string[];
}

/** A parsed `SHELL`. */
export interface ShellInstruction extends InstructionSource {
  readonly kind: 'SHELL';
  readonly shell: readonly string[];
}

/** A parsed `STOPSIGNAL`. */
export interface StopsignalInstruction extends InstructionSource {
  readonly kind: 'STOPSIGNAL';
  readonly signal: string;
}

/** A parsed `USER`. */
export interface UserInstruction extends InstructionSource {
  readonly kind: 'USER';
  readonly user: string;
}

/** A parsed `VOLUME`. */
export interface VolumeInstruction extends InstructionSource {
  readonly kind: 'VOLUME';
  readonly volumes: readonly string[];
}

/** A parsed `WORKDIR`. */
export interface WorkdirInstruction extends InstructionSource {
  readonly kind: 'WORKDIR';
  readonly path: string;
}

/** An instruction that may stand in a stage. */
export type StageInstruction =
  | AddInstruction
  | ArgInstruction
  | CmdInstruction
  | CopyInstruction
  | EntrypointInstruction
  | EnvInstruction
  | ExposeInstruction
  | HealthcheckInstruction
  | LabelInstruction
  | MaintainerInstruction
  | OnbuildInstruction
  | RunInstruction
  | ShellInstruction
  | StopsignalInstruction
  | UserInstruction
  | VolumeInstruction
  | WorkdirInstruction;

/** Any of the 18. */
export type Instruction = StageInstruction | FromInstruction;

/** A FROM and what follows. */
export interface Stage {
  readonly from: FromInstruction;
  readonly instructions: readonly StageInstruction[];
}

/** A whole Dockerfile. */
export interface Dockerfile {
  /** ARG before the first FROM. */
  readonly globalArgs: readonly ArgInstruction[];
  readonly stages: readonly Stage[];
}

/** One `--mount`, read. */
export interface Mount {
  readonly type: 'bind' | 'cache' | 'tmpfs' | 'secret' | 'ssh';
  readonly from: string;
  readonly source: string;
  readonly target: string;
  readonly readonly: boolean;
  /** Bytes; tmpfs only. */
  readonly sizeLimit: number;
  readonly id: string;
  readonly sharing: '' | 'shared' | 'private' | 'locked';
  readonly required: boolean;
  /** Secret as an environment variable: its name, empty for the id's own. */
  readonly env: string | undefined;
  /** Permission bits. */
  readonly mode: number | undefined;
  readonly uid: number | undefined;
  readonly gid: number | undefined;
}
