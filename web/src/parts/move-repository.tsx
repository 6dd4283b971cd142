import { Button, Card, Group, Stack, Text, TextInput, Title } from '@mantine/core';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { useState } from 'react';
import type { MoveRepositoryRequest, RepositoryDetail } from '#hub/protocol/index.ts';
import { call } from '../api.ts';
import { ConfirmByName, Effect } from './confirm.tsx';
import { fieldError } from './states.tsx';

interface MoveProps {
  readonly detail: RepositoryDetail;
  readonly name: string;
}

/** Another name, or another owner. */
export function MoveRepository({ detail, name }: MoveProps) {
  const [open, setOpen] = useState<'rename' | 'transfer'>();
  const close = () => setOpen(undefined);
  return (
    <Card withBorder>
      <Group justify="space-between">
        <Stack gap={2}>
          <Title order={2} size="h4">
            Name and owner
          </Title>
          <Text size="sm" style={{ overflowWrap: 'anywhere' }}>
            {detail.name}, owned by {detail.namespace}.
          </Text>
        </Stack>
        <Group gap="xs">
          <Button variant="default" onClick={() => setOpen('rename')}>
            Rename
          </Button>
          <Button variant="default" onClick={() => setOpen('transfer')}>
            Transfer
          </Button>
        </Group>
      </Group>
      <Rename detail={detail} name={name} isOpen={open === 'rename'} onClose={close} />
      <Transfer detail={detail} name={name} isOpen={open === 'transfer'} onClose={close} />
    </Card>
  );
}

type DialogProps = MoveProps & { readonly isOpen: boolean; readonly onClose: () => void };

function useMove(name: string, onMoved: (to: string) => Promise<void>) {
  return useMutation({
    mutationFn: (body: MoveRepositoryRequest) => call<RepositoryDetail>('POST', `/api/move/${name}`, body),
    onSuccess: (detail) => onMoved(`${detail.namespace}/${detail.name}`),
  });
}

function Rename({ detail, name, isOpen, onClose }: DialogProps) {
  const client = useQueryClient();
  const navigate = useNavigate();
  const [next, setNext] = useState('');
  const move = useMove(name, async (to) => {
    onClose();
    await navigate({ to: '/r/$', params: { _splat: to }, search: { tab: 'settings' } });
    await client.invalidateQueries();
  });
  return (
    <ConfirmByName
      isOpen={isOpen}
      onClose={onClose}
      title={`Rename ${name}?`}
      name={name}
      action="Rename"
      isPending={move.isPending}
      error={move.error}
      fields={['name']}
      isIncomplete={next === '' || next === detail.name}
      onConfirm={(confirm) => move.mutate({ name: next, confirm })}
    >
      <Effect>
        Tags, images, pulls, stars and rules stay with it, and tokens that are limited to it follow.
      </Effect>
      <Effect>
        The old name is free from then on: nothing leads from it to the new one. Whoever pulls {name} has to
        use the new name, and a push to the old one makes a new repository.
      </Effect>
      <TextInput
        label="New name"
        value={next}
        onChange={(event) => setNext(event.currentTarget.value.toLowerCase())}
        error={fieldError(move.error, 'name')}
        autoComplete="off"
        spellCheck={false}
        data-autofocus
      />
    </ConfirmByName>
  );
}

function Transfer({ detail, name, isOpen, onClose }: DialogProps) {
  const client = useQueryClient();
  const navigate = useNavigate();
  const [owner, setOwner] = useState('');
  const move = useMove(name, async () => {
    onClose();
    await navigate({ to: '/' });
    await client.invalidateQueries();
  });
  return (
    <ConfirmByName
      isOpen={isOpen}
      onClose={onClose}
      title={`Transfer ${name}?`}
      name={name}
      action="Transfer"
      color="red"
      isPending={move.isPending}
      error={move.error}
      fields={['namespace', 'name']}
      isIncomplete={owner === '' || owner === detail.namespace}
      onConfirm={(confirm) => move.mutate({ namespace: owner, confirm })}
    >
      <Effect>
        The account owns it at once, under {owner === '' ? 'its own name' : `${owner}/${detail.name}`}; only
        the new owner can give it back. {detail.visibility === 'private' && 'You will not see it any more.'}
      </Effect>
      <Effect>The old name is free from then on: nothing leads from it to the new one.</Effect>
      <TextInput
        label="Account"
        value={owner}
        onChange={(event) => setOwner(event.currentTarget.value.toLowerCase().trim())}
        error={fieldError(move.error, 'namespace') ?? fieldError(move.error, 'name')}
        autoComplete="off"
        spellCheck={false}
        data-autofocus
      />
    </ConfirmByName>
  );
}
