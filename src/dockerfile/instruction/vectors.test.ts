import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, test } from 'node:test';
import { messageOf } from '#base/errors/index.ts';
import { parseText } from '#dockerfile/text/index.ts';
import { parseInstruction } from './index.ts';
import type { Instruction, Transfer } from './types.ts';

const VECTORS = resolve(import.meta.dirname, '../../../../shared/data/dockerfile');
const skip = existsSync(VECTORS) ? false : `vectors are not at ${VECTORS}`;

interface Recorded {
  readonly test: string;
  readonly original: string;
  readonly error: string | null;
  readonly type?: string;
  readonly value?: unknown;
  readonly prevComment: readonly string[] | null;
  readonly heredocs:
    | readonly { readonly Name: string; readonly Content: string; readonly Chomp: boolean }[]
    | null;
  readonly attributes: Readonly<Record<string, boolean>> | null;
  readonly network?: string;
  readonly security?: string;
  readonly flagsUsed?: readonly string[];
}

function transfer(value: Transfer) {
  return {
    DestPath: value.destination,
    SourcePaths: value.sources.length > 0 ? value.sources : null,
    SourceContents:
      value.inlineSources.length > 0
        ? value.inlineSources.map((file) => ({ Path: file.name, Data: file.content, Expand: file.expand }))
        : null,
    Chown: value.chown,
    Chmod: value.chmod,
    Link: value.link,
    ExcludePatterns: value.exclude.length > 0 ? value.exclude : null,
  };
}

/** Our instruction in the recording's form. */
function wire(instruction: Instruction): unknown {
  switch (instruction.kind) {
    case 'COPY':
      return { ...transfer(instruction), From: instruction.from, Parents: instruction.parents };
    case 'ADD':
      return {
        ...transfer(instruction),
        KeepGitDir: instruction.keepGitDir ?? null,
        Checksum: instruction.checksum,
        Unpack: instruction.unpack ?? null,
      };
    case 'RUN':
    case 'CMD':
    case 'ENTRYPOINT':
      return {
        CmdLine: instruction.command,
        Files:
          instruction.heredocs.length > 0
            ? instruction.heredocs.map(({ name, content, chomp }) => ({
                Name: name,
                Data: content,
                Chomp: chomp,
              }))
            : null,
        PrependShell: instruction.isShell,
        ...(instruction.kind === 'RUN' ? { FlagsUsed: instruction.flagsUsed } : {}),
      };
    case 'ENV':
    case 'LABEL': {
      const pairs = instruction.pairs.map((pair) => ({
        Key: pair.key,
        Value: pair.value,
        NoDelim: !pair.hasEquals,
      }));
      return instruction.kind === 'ENV' ? { Env: pairs } : { Labels: pairs };
    }
    case 'ARG':
      return {
        Args: instruction.args.map(({ key, value, description }) => ({
          Key: key,
          Value: value ?? null,
          DocComment: description,
        })),
      };
    case 'FROM':
      return {
        Name: instruction.name ?? '',
        Commands: [],
        OrigCmd: instruction.keyword,
        BaseName: instruction.base,
        Platform: instruction.platform,
        DocComment: instruction.description,
        SourceCode: instruction.text,
        Comments: instruction.comments.length > 0 ? instruction.comments : null,
      };
    case 'HEALTHCHECK':
      return { Health: { Test: instruction.test } };
    case 'ONBUILD':
      return { Expression: instruction.expression };
    case 'MAINTAINER':
      return { Maintainer: instruction.maintainer };
    case 'VOLUME':
      return { Volumes: instruction.volumes };
    case 'EXPOSE':
      return { Ports: instruction.ports };
    case 'WORKDIR':
      return { Path: instruction.path };
    case 'USER':
      return { User: instruction.user };
    case 'STOPSIGNAL':
      return { Signal: instruction.signal };
    case 'SHELL':
      return { Shell: instruction.shell };
  }
}

function textOf(given: Recorded): string {
  const comments = (given.prevComment ?? []).map((comment) => `# ${comment}\n`).join('');
  const documents = (given.heredocs ?? []).map((doc) => `\n${doc.Content}${doc.Name}`).join('');
  return `${comments}${given.original}${documents}\n`;
}

describe('instructions against the recorded vectors', { skip }, () => {
  if (skip) return;
  const all = JSON.parse(readFileSync(resolve(VECTORS, 'instructions.json'), 'utf8')) as Recorded[];
  // Made by hand in the reference's own tests from nodes no text gives: arguments glued to the keyword, no text at all.
  const unreachable = all.filter((given) => given.original === '' || /^(ENV|LABEL)arg/.test(given.original));

  test('few recordings cannot be written as text', () => {
    assert.ok(all.length > 120);
    assert.ok(unreachable.length <= 4, `${unreachable.length}`);
  });

  for (const given of all.filter((candidate) => !unreachable.includes(candidate))) {
    test(`${given.test}: ${JSON.stringify(given.original)}`, () => {
      const [statement] = parseText(textOf(given)).statements;
      assert.ok(statement);
      if (given.error !== null) {
        let message: string | undefined;
        try {
          parseInstruction(statement);
        } catch (error) {
          message = messageOf(error);
        }
        assert.equal(message, given.error);
        return;
      }
      const instruction = parseInstruction(statement);
      const { Location: _, ...want } = given.value as Record<string, unknown>;
      assert.deepEqual(wire(instruction), want);
      if (instruction.kind === 'RUN') {
        assert.deepEqual(
          [instruction.network, instruction.security, instruction.flagsUsed],
          [given.network, given.security, given.flagsUsed ?? []],
        );
      }
    });
  }
});
