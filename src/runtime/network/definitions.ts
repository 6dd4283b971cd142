import { randomBytes } from 'node:crypto';
import { CodedError } from '#base/errors/index.ts';
import type { Database } from '#store/metadata/index.ts';
import type { Network } from './types.ts';

/** Networks that always exist. */
export const PREDEFINED: readonly string[] = ['bridge', 'host', 'none'];

/** Network definitions, durable in the `networks` table. */
export class NetworkDefinitions {
  readonly #db: Database;
  readonly #networks = new Map<string, Network>();

  /** @param onDamaged told of networks whose definition cannot be read; they are not there, and their names are free. */
  constructor(db: Database, onDamaged: (name: string, error: unknown) => void = () => {}) {
    this.#db = db;
    for (const row of db.all('SELECT name, document FROM networks ORDER BY created_at')) {
      try {
        const network = JSON.parse(String(row['document'])) as Network;
        this.#networks.set(network.id, { ...network, createdAt: new Date(network.createdAt) });
      } catch (error) {
        onDamaged(String(row['name']), error);
      }
    }
  }

  list(): readonly Network[] {
    return [...this.#networks.values()];
  }

  /** By name, full id, or unique id prefix. */
  get(nameOrId: string): Network {
    const all = this.list();
    const named = all.find((network) => network.name === nameOrId) ?? this.#networks.get(nameOrId);
    if (named !== undefined) return named;
    const matches = nameOrId === '' ? [] : all.filter((network) => network.id.startsWith(nameOrId));
    const [only] = matches;
    if (only !== undefined && matches.length === 1) return only;
    if (matches.length > 1) {
      throw new CodedError(
        'invalid_argument',
        `network ${nameOrId} is ambiguous (${matches.length} matches found on name)`,
      );
    }
    throw new CodedError('not_found', `network ${nameOrId} not found`, {
      subject: { kind: 'network', name: nameOrId },
    });
  }

  add(definition: Omit<Network, 'id' | 'createdAt'>): Network {
    if (this.list().some((network) => network.name === definition.name)) {
      throw new CodedError('conflict', `network with name ${definition.name} already exists`);
    }
    const network: Network = { ...definition, id: randomBytes(32).toString('hex'), createdAt: new Date() };
    this.#db.run(
      'INSERT OR REPLACE INTO networks (id, name, created_at, document) VALUES (?, ?, ?, ?)',
      network.id,
      network.name,
      network.createdAt.getTime(),
      JSON.stringify(network),
    );
    this.#networks.set(network.id, network);
    return network;
  }

  /** Stores another version of a network. */
  replace(network: Network): void {
    this.#db.run('UPDATE networks SET document = ? WHERE id = ?', JSON.stringify(network), network.id);
    this.#networks.set(network.id, network);
  }

  delete(network: Network): void {
    this.#db.run('DELETE FROM networks WHERE id = ?', network.id);
    this.#networks.delete(network.id);
  }
}
