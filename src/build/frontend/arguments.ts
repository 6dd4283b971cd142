/**
 * Build arguments. A global ARG serves FROM lines; a stage sees it after declaring it again. `--build-arg` beats a default.
 * The predefined proxy variables need no ARG, and leave no trace: neither in the history nor in a key.
 */
import { envMap } from '#dockerfile/expand/index.ts';
import type { ArgInstruction } from '#dockerfile/instruction/types.ts';
import type { ContainerConfig } from '#oci/config/index.ts';
import { formatPlatform } from '#oci/platform/index.ts';
import { nameOf, setVariable } from './config.ts';
import { ENVIRONMENT_LIMIT, tooMuch } from './limits.ts';
import type { FrontendOptions } from './types.ts';

type Expander = (word: string, env: ReadonlyMap<string, string>) => string;

const PROXIES = ['HTTP_PROXY', 'HTTPS_PROXY', 'FTP_PROXY', 'NO_PROXY', 'ALL_PROXY'].flatMap((name) => [
  name,
  name.toLowerCase(),
]);
/** Arguments that steer the build itself; nobody has to declare them. */
const STEERING = /^(?:BUILDKIT_[A-Z_]+|SOURCE_DATE_EPOCH)$/;

/** Values known before the first FROM. */
export class GlobalArguments {
  /** What FROM lines see. */
  readonly values: Map<string, string>;
  /** Given by `--build-arg`; a name without value is as if not given. */
  readonly given: ReadonlyMap<string, string>;
  /** Proxy variables given. */
  readonly proxies: readonly string[];
  readonly #declared = new Set<string>();
  readonly #predefined: ReadonlySet<string>;

  constructor(options: FrontendOptions) {
    this.given = new Map(
      Object.entries(options.buildArgs).filter((entry): entry is [string, string] => entry[1] !== null),
    );
    this.proxies = PROXIES.flatMap((name) => {
      const value = this.given.get(name);
      return value === undefined ? [] : [`${name}=${value}`];
    });
    const predefined = predefinedValues(options);
    this.#predefined = new Set(predefined.keys());
    this.values = new Map([...predefined].map(([key, value]) => [key, this.given.get(key) ?? value]));
  }

  /** An ARG before the first FROM. */
  declare(instruction: ArgInstruction, expand: Expander): void {
    for (const { key, value } of instruction.args) {
      this.noteDeclared(key);
      const effective = this.given.get(key) ?? (value === undefined ? undefined : expand(value, this.values));
      if (effective === undefined) continue;
      this.values.set(key, effective);
      if (totalSize(this.values) > ENVIRONMENT_LIMIT)
        throw tooMuch('sum of the arguments', ENVIRONMENT_LIMIT);
    }
  }

  /** Some ARG names `key`, so giving it is no mistake. */
  noteDeclared(key: string): void {
    this.#declared.add(key);
  }

  /** `--build-arg` names that no ARG has. */
  unused(): readonly string[] {
    const isKnown = (name: string): boolean =>
      this.#declared.has(name) || this.#predefined.has(name) || PROXIES.includes(name) || STEERING.test(name);
    return [...this.given.keys()].filter((name) => !isKnown(name)).sort();
  }
}

function predefinedValues(options: FrontendOptions): Map<string, string> {
  const values = new Map<string, string>();
  for (const [prefix, platform] of [
    ['BUILD', options.buildPlatform],
    ['TARGET', options.platform],
  ] as const) {
    values.set(`${prefix}PLATFORM`, formatPlatform(platform));
    values.set(`${prefix}OS`, platform.os);
    values.set(`${prefix}ARCH`, platform.architecture);
    values.set(`${prefix}VARIANT`, platform.variant ?? '');
  }
  values.set('TARGETSTAGE', options.target || 'default');
  return values;
}

function totalSize(values: ReadonlyMap<string, string>): number {
  let size = 0;
  for (const [key, value] of values) size += key.length + value.length + 2;
  return size;
}

/** What RUN gets, and what of it is told. */
export interface RunEnvironment {
  readonly env: readonly string[];
  readonly hidden: readonly string[];
  /** `|2 A=b C=d`; empty when there are no build arguments. */
  readonly historyPrefix: readonly string[];
}

/**
 * Arguments and variables of one stage. The dialects differ: in the classic builder a variable of the image always beats an
 * argument, and a stage starts without arguments; in BuildKit the later instruction wins, and a stage inherits arguments
 * from the stage it is based on.
 */
export class StageArguments {
  readonly #global: GlobalArguments;
  readonly #dialect: FrontendOptions['dialect'];
  /** Declared names with their values, in order. */
  readonly #declared: Map<string, string | undefined>;
  /** BuildKit's view: what was set last. */
  #state: readonly string[];

  constructor(
    global: GlobalArguments,
    dialect: FrontendOptions['dialect'],
    start: { readonly config: ContainerConfig; readonly parent: StageArguments | undefined },
  ) {
    this.#global = global;
    this.#dialect = dialect;
    const parent = dialect === 'buildkit' ? start.parent : undefined;
    this.#declared = new Map(parent?.declared ?? []);
    this.#state = parent?.state ?? start.config.Env ?? [];
  }

  get declared(): ReadonlyMap<string, string | undefined> {
    return this.#declared;
  }

  get state(): readonly string[] {
    return this.#state;
  }

  /** What `$name` means at this point. */
  variables(config: ContainerConfig): ReadonlyMap<string, string> {
    if (this.#dialect === 'buildkit') return envMap(this.#state);
    const variables = envMap(config.Env ?? []);
    for (const line of [...this.#lines(), ...this.#global.proxies]) {
      const name = nameOf(line);
      if (!variables.has(name)) variables.set(name, line.slice(name.length + 1));
    }
    return variables;
  }

  /** An ARG of the stage; returns its effective value. */
  declare(key: string, value: string | undefined): string | undefined {
    this.#global.noteDeclared(key);
    const effective = this.#global.given.get(key) ?? value ?? this.#global.values.get(key);
    this.#declared.set(key, effective);
    if (effective !== undefined) this.#state = setVariable(this.#state, key, effective);
    return effective;
  }

  /** An ENV of the stage. */
  assign(key: string, value: string): void {
    this.#state = setVariable(this.#state, key, value);
  }

  /** The environment of a RUN. */
  run(config: ContainerConfig): RunEnvironment {
    const hidden = this.#global.proxies.filter((line) => !this.#declared.has(nameOf(line)));
    return this.#dialect === 'buildkit' ? this.#runBuildkit(hidden) : this.#runClassic(config, hidden);
  }

  #runBuildkit(hidden: readonly string[]): RunEnvironment {
    const values = envMap(this.#state);
    const told = [...this.#declared].map(([key, value]) => `${key}=${values.get(key) ?? value ?? ''}`);
    return { env: this.#state, hidden, historyPrefix: told.length === 0 ? [] : [`|${told.length}`, ...told] };
  }

  #runClassic(config: ContainerConfig, hidden: readonly string[]): RunEnvironment {
    const own = config.Env ?? [];
    const names = new Set(own.map(nameOf));
    const told = this.#lines()
      .filter((line) => !names.has(nameOf(line)))
      .sort();
    const isPrefixed = told.length > 0 || hidden.some((line) => !names.has(nameOf(line)));
    return {
      env: [...own, ...told],
      hidden: hidden.filter((line) => !names.has(nameOf(line))),
      historyPrefix: isPrefixed ? [`|${told.length}`, ...told] : [],
    };
  }

  #lines(): string[] {
    return [...this.#declared].flatMap(([key, value]) => (value === undefined ? [] : [`${key}=${value}`]));
  }
}
