import assert from 'node:assert/strict';
import { test } from 'node:test';
import { reconstruct } from './history.ts';

const HEX = '0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f9';
/** What builders write, what it means, and what it does not tell. */
const rows: readonly (readonly [
  history: string,
  lines: readonly string[],
  gap?: string | undefined,
  given?: string,
])[] = [
  ['/bin/sh -c apt-get update', ['RUN apt-get update']],
  ['/bin/sh -c #(nop)  CMD ["sh"]', ['CMD ["sh"]']],
  ['/bin/sh -c #(nop) ENV A=1 B=2', ['ENV A=1 B=2']],
  [`/bin/sh -c #(nop) ADD file:${HEX} in / `, ['ADD file:0a1b2c3d4e5f /'], 'source'],
  [`/bin/sh -c #(nop) COPY multi:${HEX} in /app/ `, ['COPY multi:0a1b2c3d4e5f /app/'], 'source'],
  ['|2 A=1 B=two /bin/sh -c make $A', ['RUN make $A'], undefined, 'A=1 B=two'],
  ['RUN |1 A=1 /bin/sh -c make # buildkit', ['RUN make'], undefined, 'A=1'],
  ['RUN |0 /bin/sh -c make # buildkit', ['RUN make']],
  ['RUN /bin/sh -c make \\\n  && make install # buildkit', ['RUN make \\', '  && make install']],
  ['RUN /bin/sh -c one\ntwo # buildkit', ['RUN <<EOF', 'one', 'two', 'EOF']],
  ['/bin/bash -o pipefail -c curl x | sh', ['RUN curl x | sh']],
  ['/bin/bash -o pipefail -c #(nop)  USER app', ['USER app']],
  ['RUN |1 A=b /bin/bash -eo pipefail -c make # buildkit', ['RUN make'], undefined, 'A=b'],
  ['LABEL maintainer=A. Person <a@example.org>', ['LABEL maintainer="A. Person <a@example.org>"']],
  ['ENV A=1 B=2', ['ENV A=1 B=2']],
  ['COPY app.py /app/ # buildkit', ['COPY app.py /app/']],
  ['WORKDIR /app', ['WORKDIR /app']],
  ['EXPOSE map[443/tcp:{} 80/tcp:{}]', ['EXPOSE 443/tcp 80/tcp']],
  ['/bin/sh -c #(nop)  EXPOSE 80', ['EXPOSE 80']],
  ['VOLUME [/data /log]', ['VOLUME ["/data","/log"]']],
  ['/bin/sh -c #(nop)  VOLUME ["/data"]', ['VOLUME ["/data"]']],
  [
    'HEALTHCHECK &{["CMD-SHELL" "curl -f \\"http://x/\\" || exit 1"] "30s" "3s" "0s" "0s" \'\\x03\'}',
    ['HEALTHCHECK --interval=30s --timeout=3s CMD curl -f "http://x/" || exit 1'],
  ],
  [
    'HEALTHCHECK &{["CMD" "/probe" "-x"] "0s" "0s" "5s" "0s" \'\\x00\'}',
    ['HEALTHCHECK --start-period=5s CMD ["/probe","-x"]'],
  ],
  ['HEALTHCHECK &{["NONE"] "0s" "0s" "0s" "0s" \'\\x00\'}', ['HEALTHCHECK NONE']],
  ['bazel build ...', ['# bazel build ...'], 'unknown'],
  ['one\nFROM evil', ['# one', '# FROM evil'], 'unknown'],
];

for (const [history, lines, gap, given = ''] of rows) {
  test(`reconstruct reads ${JSON.stringify(history.slice(0, 60))}`, () => {
    assert.deepEqual(reconstruct({ created_by: history }), { lines, given, gap });
  });
}

test('reconstruct says so when a step has no text, and takes the comment where there is one', () => {
  assert.deepEqual(reconstruct({}).lines, ['# a step that the history does not describe']);
  assert.deepEqual(reconstruct({ comment: 'imported from -' }), {
    lines: ['# imported from -'],
    given: '',
    gap: 'unknown',
  });
});

test('reconstruct puts back the quotes that a history has lost, where the names in the image tell where they were', () => {
  const keys = new Set(['A', 'B', 'C']);
  const text = (history: string, known?: ReadonlySet<string>) =>
    reconstruct({ created_by: history }, known).lines[0];
  assert.equal(text('ENV A=one two B=3 C=x y', keys), 'ENV A="one two" B=3 C="x y"');
  assert.equal(text('ENV A=one two x=3', keys), 'ENV A="one two x=3"', 'x is no variable of the image');
  assert.equal(text('ENV A=one two B=3'), 'ENV A=one two B=3', 'nobody knows');
  assert.equal(text('ENV A="one two" B=3', keys), 'ENV A="one two" B=3', 'they are there');
  assert.equal(text('ENV A one two', keys), 'ENV A one two', 'the old form needs none');
});

test('reconstruct takes no long time for text that was made for that', () => {
  const begun = performance.now();
  for (const piece of [' ', '\\ ', 'a=', ' -c', '] "', '/bin/sh -', 'file:', '|1 '])
    for (const front of ['', 'RUN ', 'ENV A=', 'HEALTHCHECK &{[', 'COPY ', '|1 A=', '/bin/sh -c #(nop) '])
      reconstruct({ created_by: front + piece.repeat(2_000_000 / piece.length) });
  assert.ok(performance.now() - begun < 2000);
});
