import type { Forwarder } from './forward.ts';
import {
  type AnswerData,
  addressOfReverse,
  CODE,
  encodeAnswer,
  encodeFailure,
  isQuery,
  parseQuery,
  type Query,
  TYPE,
} from './message.ts';
import type { NamesEntry } from './types.ts';
import type { Zone } from './zone.ts';

/** Answers the queries of all namespaces: names of containers from the zone, all others from the resolvers behind it. */
export class Answerer {
  readonly #zone: Zone;
  readonly #forwarder: Pick<Forwarder, 'forward'>;

  constructor(zone: Zone, forwarder: Pick<Forwarder, 'forward'>) {
    this.#zone = zone;
    this.#forwarder = forwarder;
  }

  /** The answer to a packet from `sandboxId`; `undefined` when it gets none. */
  async answer(
    sandboxId: string,
    packet: Buffer,
    options: { readonly overTcp: boolean },
  ): Promise<Buffer | undefined> {
    const query = parseQuery(packet);
    if (!isQuery(query)) return query.code === undefined ? undefined : encodeFailure(query, query.code);
    const entry = this.#zone.get(sandboxId);
    if (entry === undefined) return encodeFailure(query, CODE.serverFailure);
    const known = query.isInternet ? this.#find(entry, query) : undefined;
    if (known !== undefined) return encodeAnswer(query, known.data, options);
    if (entry.keepsSingleWords && isAddressType(query) && !query.name.includes('.'))
      return encodeAnswer(query, undefined, options);
    const answer = entry.forwards ? await this.#forwarder.forward(entry, query, packet, options) : undefined;
    if (answer === 'refused') return encodeFailure(query, CODE.refused);
    return answer ?? encodeFailure(query, CODE.serverFailure);
  }

  /** What is known here; a container's name is never asked elsewhere, whatever the type. */
  #find({ sandboxId }: NamesEntry, query: Query): { readonly data: AnswerData } | undefined {
    if (query.type === TYPE.ptr) {
      const address = addressOfReverse(query.name);
      const name = address === undefined ? undefined : this.#zone.findName(sandboxId, address);
      if (name !== undefined) return { data: { type: TYPE.ptr, name } };
    }
    const addresses = this.#zone.findAddresses(sandboxId, query.name);
    if (addresses === undefined) return undefined;
    return { data: query.type === TYPE.a ? { type: TYPE.a, addresses } : undefined };
  }
}

function isAddressType({ type }: Query): boolean {
  return type === TYPE.a || type === TYPE.aaaa;
}
