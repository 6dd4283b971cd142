import { Button, Card, Group, Modal, Stack, Switch, Text, Textarea, TextInput, Title } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { useState } from 'react';
import type { RepositoryDetail, UpdateRepositoryRequest } from '#hub/protocol/index.ts';
import { call } from '../api.ts';
import { FormError, fieldError } from '../parts/states.tsx';

interface SettingsProps {
  readonly detail: RepositoryDetail;
  readonly name: string;
}

function useUpdate(name: string, onDone: () => void = () => {}) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (body: UpdateRepositoryRequest) =>
      call<RepositoryDetail>('PATCH', `/api/repositories/${name}`, body),
    onSuccess: async () => {
      await client.invalidateQueries({ queryKey: ['repository', name] });
      onDone();
    },
  });
}

/** Description, visibility, immutable tags, deletion. */
export function SettingsTab({ detail, name }: SettingsProps) {
  return (
    <Stack gap="lg" maw={720}>
      <Texts detail={detail} name={name} />
      <Tags detail={detail} name={name} />
      <Visibility detail={detail} name={name} />
      <Removal name={name} />
    </Stack>
  );
}

function Texts({ detail, name }: SettingsProps) {
  const [description, setDescription] = useState(detail.description);
  const [readme, setReadme] = useState(detail.readme);
  const update = useUpdate(name);
  return (
    <Card withBorder>
      <Stack>
        <Title order={2} size="h4">
          About
        </Title>
        <TextInput
          label="Short description"
          value={description}
          maxLength={100}
          onChange={(event) => setDescription(event.currentTarget.value)}
          error={fieldError(update.error, 'description')}
        />
        <Textarea
          label="README (Markdown)"
          value={readme}
          onChange={(event) => setReadme(event.currentTarget.value)}
          autosize
          minRows={3}
          maxRows={16}
          error={fieldError(update.error, 'readme')}
        />
        <FormError error={update.error} fields={['description', 'readme']} />
        <Group>
          <Button onClick={() => update.mutate({ description, readme })} loading={update.isPending}>
            Save
          </Button>
          {update.isSuccess && (
            <Text size="sm" c="teal" role="status">
              Saved
            </Text>
          )}
        </Group>
      </Stack>
    </Card>
  );
}

function Tags({ detail, name }: SettingsProps) {
  const update = useUpdate(name);
  return (
    <Card withBorder>
      <Stack>
        <Title order={2} size="h4">
          Tags
        </Title>
        <Switch
          label="Immutable tags"
          description="A tag that was pushed cannot be moved to another image; it can still be deleted."
          checked={detail.tagMutability === 'immutable'}
          disabled={update.isPending}
          onChange={(event) =>
            update.mutate({ tagMutability: event.currentTarget.checked ? 'immutable' : 'mutable' })
          }
        />
        <FormError error={update.error} fields={[]} />
      </Stack>
    </Card>
  );
}

function Visibility({ detail, name }: SettingsProps) {
  const [isOpen, dialog] = useDisclosure(false);
  const [confirm, setConfirm] = useState('');
  const next = detail.visibility === 'public' ? 'private' : 'public';
  const close = () => {
    setConfirm('');
    dialog.close();
  };
  const update = useUpdate(name, close);
  const effect =
    next === 'public'
      ? 'Everybody will be able to see and pull it.'
      : 'Only you will be able to see and pull it.';
  return (
    <Card withBorder>
      <Group justify="space-between">
        <Stack gap={2}>
          <Title order={2} size="h4">
            Visibility
          </Title>
          <Text size="sm">This repository is {detail.visibility}.</Text>
        </Stack>
        <Button variant="default" onClick={dialog.open}>
          Make it {next}
        </Button>
      </Group>
      <Modal opened={isOpen} onClose={close} title={`Make ${name} ${next}?`}>
        <Stack>
          <Text size="sm">{effect}</Text>
          <TextInput
            label={`Type ${name} to confirm`}
            value={confirm}
            onChange={(event) => setConfirm(event.currentTarget.value)}
            error={fieldError(update.error, 'confirm')}
            data-autofocus
          />
          <Group justify="flex-end">
            <Button
              disabled={confirm !== name}
              loading={update.isPending}
              onClick={() => update.mutate({ visibility: next, confirm })}
            >
              Make it {next}
            </Button>
          </Group>
        </Stack>
      </Modal>
    </Card>
  );
}

function Removal({ name }: { readonly name: string }) {
  const client = useQueryClient();
  const navigate = useNavigate();
  const [isOpen, dialog] = useDisclosure(false);
  const [confirm, setConfirm] = useState('');
  const remove = useMutation({
    mutationFn: () => call('DELETE', `/api/repositories/${name}`, { confirm }),
    onSuccess: async () => {
      await navigate({ to: '/' });
      await client.invalidateQueries();
    },
  });
  return (
    <Card withBorder>
      <Group justify="space-between">
        <Stack gap={2}>
          <Title order={2} size="h4">
            Delete repository
          </Title>
          <Text size="sm">Its tags and images are gone for good.</Text>
        </Stack>
        <Button color="red" variant="light" onClick={dialog.open}>
          Delete repository
        </Button>
      </Group>
      <Modal opened={isOpen} onClose={dialog.close} title={`Delete ${name}?`}>
        <Stack>
          <TextInput
            label={`Type ${name} to confirm`}
            value={confirm}
            onChange={(event) => setConfirm(event.currentTarget.value)}
            error={fieldError(remove.error, 'confirm')}
            data-autofocus
          />
          <FormError error={remove.error} fields={['confirm']} />
          <Group justify="flex-end">
            <Button
              color="red"
              disabled={confirm !== name}
              loading={remove.isPending}
              onClick={() => remove.mutate()}
            >
              Delete repository forever
            </Button>
          </Group>
        </Stack>
      </Modal>
    </Card>
  );
}
