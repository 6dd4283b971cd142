/** Docker's address of the resolver inside a container. */
export const RESOLVER_ADDRESS = '127.0.0.11';

/** A resolver that queries are passed on to. */
export interface Upstream {
  readonly address: string;
  /** 53 when absent. */
  readonly port?: number;
  /** Asked from the host's network, not from the container's: it listens on the host's loopback, say. */
  readonly fromHost: boolean;
}

/** A container's place on a network whose names it sees. */
export interface NetworkNames {
  readonly networkId: string;
  readonly networkName: string;
  readonly address: string;
  /** What it is called there: container name first, aliases, short id, host name. */
  readonly names: readonly string[];
  /** Names that only this container uses, and what they stand for. */
  readonly links: Readonly<Record<string, string>>;
}

/** All that is needed to answer the queries of one network namespace. */
export interface NamesEntry {
  readonly sandboxId: string;
  /** Where its namespace is kept. */
  readonly netnsPath: string;
  readonly networks: readonly NetworkNames[];
  /** Who is asked for other names, the first three; `host`: whom the host asks at the time. */
  readonly upstreams: readonly Upstream[] | 'host';
  /** False: on internal networks only, so nothing leaves. */
  readonly forwards: boolean;
  /** The container has set `ndots` itself: one word alone is not passed on. */
  readonly keepsSingleWords: boolean;
}

/** A change to what is answered. */
export type NamesChange =
  | { readonly kind: 'put'; readonly entry: NamesEntry }
  | { readonly kind: 'drop'; readonly sandboxId: string }
  /** Drops every namespace but these; an engine that comes back tells which are left. */
  | { readonly kind: 'keep'; readonly sandboxIds: readonly string[] }
  /** Gets ready ahead of need. */
  | { readonly kind: 'warm' };

/** Where the queries of a namespace go: `127.0.0.11` and this port, over UDP and TCP. 0: it has no resolver. */
export interface NamesAnswer {
  readonly port: number;
  /** It was opened by this change. */
  readonly isNew: boolean;
}
