/** Queries for tests. */

/** A query as a client's resolver sends it. */
export function makeQuery(name: string, type: number, options: { readonly udpBytes?: number } = {}): Buffer {
  const labels = name
    .split('.')
    .flatMap((label) => [Buffer.from([label.length]), Buffer.from(label, 'latin1')]);
  const opt =
    options.udpBytes === undefined ? Buffer.alloc(0) : Buffer.from([0, 0, 41, 0, 0, 0, 0, 0, 0, 0, 0]);
  if (opt.length > 0) opt.writeUInt16BE(options.udpBytes ?? 0, 3);
  const head = Buffer.from([0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, opt.length > 0 ? 1 : 0]);
  return Buffer.concat([head, ...labels, Buffer.from([0, 0, type, 0, 1]), opt]);
}
