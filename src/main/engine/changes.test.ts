import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { applyChanges } from './changes.ts';

describe('applyChanges', () => {
  it('changes a config and nothing else', async () => {
    const config = await applyChanges([
      'CMD ["sh"]',
      'ENV A=1',
      'LABEL x=y',
      'WORKDIR /w',
      'EXPOSE 80',
      'USER nobody',
    ]);
    assert.deepEqual(config.Cmd, ['sh']);
    assert.deepEqual(config.Env, ['A=1']);
    assert.deepEqual(config.Labels, { x: 'y' });
    assert.deepEqual(config.ExposedPorts, { '80/tcp': {} });
    assert.equal(config.WorkingDir, '/w');
    assert.equal(config.User, 'nobody');
  });

  it('keeps what the base has, and a PATH that was asked for', async () => {
    const base = { Env: ['PATH=/bin'], OnBuild: ['RUN true'] };
    assert.deepEqual(await applyChanges(['ENV B=2'], base), {
      Env: ['PATH=/bin', 'B=2'],
      OnBuild: ['RUN true'],
    });
    assert.deepEqual((await applyChanges(['ENV PATH=/opt'])).Env, ['PATH=/opt']);
    assert.equal(await applyChanges([], base), base);
  });

  it('refuses instructions that need a build', async () => {
    await assert.rejects(applyChanges(['RUN true']), {
      code: 'invalid_argument',
      message: 'RUN is not a valid change command',
    });
    await assert.rejects(applyChanges(['FROM scratch']), { code: 'invalid_argument' });
    await assert.rejects(applyChanges(['Foo x']), { message: 'Foo is not a valid change command' });
    await assert.rejects(applyChanges(['LABEL']), {
      message: 'dockerfile parse error on line 1: LABEL requires at least one argument',
    });
    await assert.rejects(applyChanges(['ENV a']), { message: 'ENV must have two arguments' });
  });
});
