import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fill, root, treeOf, withPlace } from './testing.ts';

const CONTEXT = {
  a: 'a',
  'b.txt': 'b',
  'c.txt': 'c',
  'dir/one': '1',
  'dir/sub/two': '2',
  'empty/': '',
  'with space/x y': 'xy',
  'ünïcode/名前': 'u',
  'literal[1].txt': 'l',
  link: { link: 'dir/one' },
  dirlink: { link: 'dir' },
  abslink: { link: '/dir/one' },
  outlink: { link: '../../../../dir/one' },
  'dir/broken': { link: 'nowhere' },
};

const VIEW = {
  'etc/conf': 'old',
  'usr/bin/': '',
  'var/data/kept': 'k',
  inside: { link: '/usr/bin' },
  climbing: { link: '../../../../../../usr/bin' },
  'usr/filelink': { link: '/etc/conf' },
};

const RULES: readonly (readonly [
  why: string,
  sources: readonly string[],
  to: string,
  made: readonly string[],
])[] = [
  ['a file takes the name of the destination', ['a'], '/x', ['x']],
  ['a trailing slash makes a directory', ['a'], '/x/', ['x/', 'x/a']],
  ['parents are made', ['a'], '/p/q/x', ['p/', 'p/q/', 'p/q/x']],
  ['a file goes into a directory that exists', ['a'], '/usr/bin', ['usr/', 'usr/bin/', 'usr/bin/a']],
  ['a file that exists is replaced', ['a'], '/etc/conf', ['etc/', 'etc/conf']],
  ['several files go into the destination', ['a', 'b.txt'], '/x/', ['x/', 'x/a', 'x/b.txt']],
  [
    'of a directory the contents are copied',
    ['dir'],
    '/x',
    ['x/', 'x/broken -> nowhere', 'x/one', 'x/sub/', 'x/sub/two'],
  ],
  ['also with a slash', ['dir/'], '/x/', ['x/', 'x/broken -> nowhere', 'x/one', 'x/sub/', 'x/sub/two']],
  ['into a directory that exists', ['dir/sub'], '/var/data', ['var/', 'var/data/', 'var/data/two']],
  ['to the root', ['dir/sub'], '/', ['two']],
  ['an empty directory is made', ['empty'], '/x', ['x/']],
  ['a leading slash is the context', ['/a'], '/x', ['x']],
  ['a leading dot is the context', ['./a'], '/x', ['x']],
  ['dots inside are cleaned', ['dir/../dir/./one'], '/x', ['x']],
  ['dots in the destination are cleaned', ['a'], '/p/../q/./x', ['q/', 'q/x']],
  ['dots of the destination stop at the root', ['a'], '/../../x', ['x']],
  ['spaces', ['with space/x y'], '/to here/', ['to here/', 'to here/x y']],
  ['any letters', ['ünïcode'], '/ü', ['ü/', 'ü/名前']],
  ['star', ['*.txt'], '/x/', ['x/', 'x/b.txt', 'x/c.txt', 'x/literal[1].txt']],
  ['a star with a leading dot and slash', ['./?.txt'], '/x/', ['x/', 'x/b.txt', 'x/c.txt']],
  ['a class', ['[a-b].txt'], '/x/', ['x/', 'x/b.txt']],
  ['a negated class', ['[^b].txt'], '/x/', ['x/', 'x/c.txt']],
  ['a protected bracket', ['literal[[]1].txt'], '/x/', ['x/', 'x/literal[1].txt']],
  ['a pattern does not cross a slash', ['*/one'], '/x/', ['x/', 'x/one']],
  ['a link is followed', ['link'], '/x/', ['x/', 'x/link']],
  [
    'a link to a directory is that directory',
    ['dirlink'],
    '/x',
    ['x/', 'x/broken -> nowhere', 'x/one', 'x/sub/', 'x/sub/two'],
  ],
  ['an absolute link means the context', ['abslink'], '/x', ['x']],
  ['a link cannot climb out of the context', ['outlink'], '/x', ['x']],
  [
    'an absolute link at the destination means the image',
    ['a'],
    '/inside/',
    ['usr/', 'usr/bin/', 'usr/bin/a'],
  ],
  ['without slash, too', ['a'], '/inside', ['usr/', 'usr/bin/', 'usr/bin/a']],
  ['a link in the image cannot climb out of it', ['a'], '/climbing/x', ['usr/', 'usr/bin/', 'usr/bin/x']],
  ['a link to a file is written through inside the image', ['a'], '/usr/filelink', ['etc/', 'etc/conf']],
];

for (const [why, sources, to, made] of RULES) {
  test(
    `COPY ${sources.join(' ')} ${to}: ${why}`,
    root,
    withPlace(({ context, view, upper, copy }) => {
      fill(context, CONTEXT);
      fill(view, VIEW);
      copy({ sources, to });
      assert.deepEqual(treeOf(upper), made);
    }),
  );
}

const FAILURES: readonly (readonly [sources: readonly string[], to: string, message: string])[] = [
  [
    ['nope'],
    '/x',
    'COPY failed: file not found in build context or excluded by .dockerignore: stat nope: file does not exist',
  ],
  [
    ['dir/broken'],
    '/x',
    'COPY failed: file not found in build context or excluded by .dockerignore: stat dir/broken: file does not exist',
  ],
  [['../x'], '/x', 'COPY failed: forbidden path outside the build context: ../x ()'],
  [['/../x'], '/x', 'COPY failed: forbidden path outside the build context: ../x ()'],
  [['dir/../../x'], '/x', 'COPY failed: forbidden path outside the build context: dir/../../x ()'],
  [['*.nope'], '/x/', 'COPY failed: no source files were specified'],
  [['[z-'], '/x/', 'syntax error in pattern: [z-'],
  [['dir'], '/etc/conf', 'cannot copy to non-directory: /etc/conf'],
  [['a'], '/etc/conf/x', '"/etc/conf" is not a directory'],
];

for (const [sources, to, message] of FAILURES) {
  test(
    `COPY ${sources.join(' ')} ${to} is refused`,
    root,
    withPlace(({ context, view, upper, copy }) => {
      fill(context, CONTEXT);
      fill(view, VIEW);
      assert.throws(() => copy({ sources, to }), { message });
      assert.deepEqual(treeOf(upper), []);
    }),
  );
}

test(
  'a missing file of another stage is told without the context',
  root,
  withPlace(({ context, copy }) => {
    fill(context, CONTEXT);
    assert.throws(() => copy({ sources: ['nope'], to: '/x', from: 'stage' }), {
      message: 'COPY failed: stat nope: file does not exist',
    });
  }),
);

test(
  'help tells what an ignore line hides from what is absent, and names a near match',
  root,
  withPlace(({ context, copy }) => {
    fill(context, {
      'secret.env': 's',
      'app.py': 'a',
      'logs/x.log': 'l',
      'a/b/main.c': 'm',
      'src/main.c': 'm',
    });
    const helpOf = (source: string): unknown => {
      try {
        copy({ sources: [source], to: '/x', ignore: '# nothing\n*.env\n\nlogs\n' });
      } catch (error) {
        return (error as { help?: unknown }).help;
      }
      return undefined;
    };
    assert.deepEqual(helpOf('secret.env'), {
      id: 'build/ignored',
      cause: '"secret.env" is in the build context, but line 2 of .dockerignore excludes it: *.env',
      fix: ['add the line !secret.env to .dockerignore, or copy another file'],
    });
    assert.match(JSON.stringify(helpOf('logs/x.log')), /line 4 of \.dockerignore excludes it: logs/);
    assert.match(JSON.stringify(helpOf('ap.py')), /did you mean app\.py\?/);
    assert.match(JSON.stringify(helpOf('APP.PY')), /did you mean app\.py\?/);
    assert.match(JSON.stringify(helpOf('main.c')), /did you mean src\/main\.c\?/);
    assert.match(JSON.stringify(helpOf('nowhere.c')), /check the path/);
  }),
);

test(
  'ignored files are left out of directories, and exceptions come back',
  root,
  withPlace(({ context, upper, copy }) => {
    fill(context, { 'd/keep': 'k', 'd/drop': 'd', 'e/x': 'x', 'e/y': 'y', f: 'f' });
    copy({ sources: ['.'], to: '/', ignore: 'd/drop\ne\n!e/y\nf\n' });
    assert.deepEqual(treeOf(upper), ['d/', 'd/keep', 'e/', 'e/y']);
  }),
);
