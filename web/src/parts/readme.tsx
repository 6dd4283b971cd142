import { Button, Group, Stack, Tabs, Text, Textarea, Title } from '@mantine/core';
import { lazy, Suspense, useState } from 'react';
import type { RepositoryDetail } from '#hub/protocol/index.ts';
import { useUpdateRepository } from './repository-update.ts';
import { FormError, fieldError } from './states.tsx';

/** Loaded when there is a README to show. */
const Markdown = lazy(async () => ({ default: (await import('./markdown.tsx')).Markdown }));

/** The README, and for the owner a way to write it. */
export function Readme({ detail, name }: { readonly detail: RepositoryDetail; readonly name: string }) {
  const [isEditing, setEditing] = useState(false);
  const mayEdit = detail.rights.includes('admin');
  if (detail.readme === '' && !mayEdit) return null;
  return (
    <Stack gap="xs">
      <Group justify="space-between">
        <Title order={2} size="h4">
          README
        </Title>
        {mayEdit && !isEditing && (
          <Button variant="default" size="xs" onClick={() => setEditing(true)}>
            {detail.readme === '' ? 'Write a README' : 'Edit README'}
          </Button>
        )}
      </Group>
      {isEditing ? (
        <Editor detail={detail} name={name} onDone={() => setEditing(false)} />
      ) : detail.readme === '' ? (
        <Text size="sm" c="dimmed">
          Say what the image is for and how to run it. Everybody who may pull it sees it here.
        </Text>
      ) : (
        <Rendered text={detail.readme} />
      )}
    </Stack>
  );
}

function Rendered({ text }: { readonly text: string }) {
  return (
    <Suspense fallback={<Text c="dimmed">…</Text>}>
      <Markdown text={text} />
    </Suspense>
  );
}

interface EditorProps {
  readonly detail: RepositoryDetail;
  readonly name: string;
  readonly onDone: () => void;
}

function Editor({ detail, name, onDone }: EditorProps) {
  const [text, setText] = useState(detail.readme);
  const update = useUpdateRepository(name, onDone);
  return (
    <Stack gap="sm">
      <Tabs defaultValue="write" keepMounted={false}>
        <Tabs.List mb="xs">
          <Tabs.Tab value="write">Write</Tabs.Tab>
          <Tabs.Tab value="preview">Preview</Tabs.Tab>
        </Tabs.List>
        <Tabs.Panel value="write">
          <Textarea
            aria-label="README (Markdown)"
            description="Markdown. Pictures and raw HTML are not shown."
            value={text}
            onChange={(event) => setText(event.currentTarget.value)}
            autosize
            minRows={8}
            maxRows={24}
            autoFocus
            styles={{ input: { fontFamily: 'var(--mantine-font-family-monospace)' } }}
            error={fieldError(update.error, 'readme')}
          />
        </Tabs.Panel>
        <Tabs.Panel value="preview">
          <Rendered text={text} />
        </Tabs.Panel>
      </Tabs>
      <FormError error={update.error} fields={['readme']} />
      <Group>
        <Button onClick={() => update.mutate({ readme: text })} loading={update.isPending}>
          Save
        </Button>
        <Button variant="default" onClick={onDone}>
          Cancel
        </Button>
      </Group>
    </Stack>
  );
}
