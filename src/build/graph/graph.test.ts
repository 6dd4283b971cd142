import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Digest } from '#oci/digest/index.ts';
import { digestOfVertex, GraphBuilder, orderVertices } from './index.ts';
import type { ExecOp, FileOp, SourceOp } from './types.ts';

const SCRATCH: { readonly kind: 'source'; readonly source: SourceOp } = {
  kind: 'source',
  source: { kind: 'scratch' },
};
const DETAILS = { name: 'x', ranges: [], ignoreCache: false };

function exec(args: readonly string[], more: Partial<ExecOp> = {}): ExecOp {
  return {
    kind: 'exec',
    args,
    env: [],
    cwd: '/',
    user: '',
    network: 'default',
    security: 'sandbox',
    ...more,
  };
}

test('the digest of a vertex never changes: it names cache entries on disk', () => {
  assert.equal(
    digestOfVertex(SCRATCH, [], undefined),
    'sha256:ddd852edc573286f8303c92e4c7b05f4b333e27b8fd8834146264c9a7eb488ed',
  );
});

test('the order in which an op was written down and what people are shown do not count', () => {
  const a = {
    kind: 'exec',
    args: ['x'],
    env: [],
    cwd: '/',
    user: '',
    network: 'none',
    security: 'sandbox',
  } as const;
  const b = {
    security: 'sandbox',
    network: 'none',
    user: '',
    cwd: '/',
    env: [],
    args: ['x'],
    kind: 'exec',
  } as const;
  assert.equal(digestOfVertex(a, [], undefined), digestOfVertex(b, [], undefined));
  const hidden = exec(['x'], { hiddenEnv: ['HTTP_PROXY=a'] });
  assert.equal(digestOfVertex(hidden, [], undefined), digestOfVertex(exec(['x']), [], undefined));
});

test('arguments, inputs and platform count', () => {
  const digests = new Set([
    digestOfVertex(exec(['x']), [], undefined),
    digestOfVertex(exec(['x', '']), [], undefined),
    digestOfVertex(exec(['x'], { env: ['A=b'] }), [], undefined),
    digestOfVertex(exec(['x']), [], { os: 'linux', architecture: 'arm64' }),
    digestOfVertex(exec(['x']), [{ vertex: 'sha256:0' as Digest, index: 0 }], undefined),
    digestOfVertex(exec(['x']), [{ vertex: 'sha256:0' as Digest, index: 1 }], undefined),
  ]);
  assert.equal(digests.size, 6);
});

test('the same op on the same inputs is one vertex that knows all its lines', () => {
  const graph = new GraphBuilder();
  const root = graph.add(SCRATCH, [], DETAILS);
  const line = (start: number) => ({ ...DETAILS, ranges: [{ file: 'Dockerfile', start, end: start }] });
  const first = graph.add(exec(['x']), [root], line(2));
  const second = graph.add(exec(['x']), [root], line(7));
  assert.deepEqual(first, second);
  const { vertices } = graph.freeze();
  assert.equal(vertices.size, 2);
  assert.deepEqual(
    vertices.get(first.vertex)?.ranges.map((range) => range.start),
    [2, 7],
  );
});

test('a frozen graph cannot be changed', () => {
  const graph = new GraphBuilder();
  const op: FileOp = { kind: 'file', actions: [], cwd: '/' };
  const edge = graph.add(op, [graph.add(SCRATCH, [], DETAILS)], DETAILS);
  const vertex = graph.freeze().vertices.get(edge.vertex);
  assert.ok(vertex);
  assert.throws(() => (vertex.inputs as unknown[]).push(1), TypeError);
});

test('orderVertices gives what a root needs, inputs first, however deep', () => {
  const graph = new GraphBuilder();
  let edge = graph.add(SCRATCH, [], DETAILS);
  const side = graph.add(exec(['side']), [edge], DETAILS);
  for (let i = 0; i < 20000; i++) edge = graph.add(exec([String(i)]), [edge], DETAILS);
  const ordered = orderVertices(graph.freeze(), [edge.vertex]);
  assert.equal(ordered.length, 20001);
  assert.ok(!ordered.some((vertex) => vertex.digest === side.vertex));
});

test('orderVertices refuses a graph with a missing input', () => {
  const vertex = {
    digest: 'sha256:1' as Digest,
    op: SCRATCH,
    inputs: [{ vertex: 'sha256:2' as Digest, index: 0 }],
    ...DETAILS,
  };
  assert.throws(() => orderVertices({ vertices: new Map([[vertex.digest, vertex]]) }, [vertex.digest]), {
    message: 'vertex sha256:2 is not in the graph',
  });
});
