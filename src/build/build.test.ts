import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NEEDS_BUILD_HOST, withBuilder } from '../../test/support/build.ts';

const options = { skip: NEEDS_BUILD_HOST };

test('a build runs its steps, keeps their changes and prints what the classic builder prints', options, () =>
  withBuilder(async ({ build, read, store }) => {
    const files = {
      Dockerfile:
        'FROM busybox\nENV A=b\nRUN echo hello && echo $A > /made\nCOPY app.txt /app/\nCMD ["cat", "/made"]\n',
      'app.txt': 'text\n',
    };
    const { parseReference } = await import('#oci/reference/index.ts');
    const first = await build(files, { tags: [parseReference('demo-push:v1')] });
    console.log(first.output);
    assert.equal(read(first.image, 'made'), 'b\n');
    assert.equal(read(first.image, 'app/app.txt'), 'text\n');
    const second = await build(files, { tags: [parseReference('demo-push:v1')] });
    console.log(second.output);
    assert.equal(second.image.id, first.image.id);
    console.log(JSON.stringify(store.images.getImage('demo-push:v1').config, null, 1));
  }),
);
