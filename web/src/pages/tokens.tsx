import {
  Alert,
  Badge,
  Button,
  Card,
  Group,
  Modal,
  MultiSelect,
  Select,
  Stack,
  Table,
  Text,
  TextInput,
  Title,
} from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { Navigate } from '@tanstack/react-router';
import { type FormEvent, useState } from 'react';
import type { AccessToken, Account, CreatedToken, TokenScope } from '#hub/protocol/index.ts';
import { call, repositoriesQuery, sessionQuery, tokensQuery } from '../api.ts';
import { formatAgo, formatTime } from '../format.ts';
import { CopyLine } from '../parts/copy-line.tsx';
import { FormError, fieldError, QueryView } from '../parts/states.tsx';

const SCOPES: readonly { readonly value: TokenScope; readonly label: string }[] = [
  { value: 'read', label: 'Read: pull' },
  { value: 'write', label: 'Read & write: pull and push' },
  { value: 'delete', label: 'Read, write & delete' },
];
const EXPIRY = [
  { value: '30', label: '30 days' },
  { value: '90', label: '90 days' },
  { value: '365', label: 'One year' },
  { value: '', label: 'No end' },
];

/** Personal access tokens: list, create, switch off, delete. */
export function TokensPage() {
  const session = useQuery(sessionQuery);
  return (
    <QueryView query={session}>
      {({ account, registryHost }) =>
        account === null ? (
          <Navigate to="/signin" search={{ next: '/tokens' }} />
        ) : (
          <Tokens account={account} host={registryHost} />
        )
      }
    </QueryView>
  );
}

function Tokens({ account, host }: { readonly account: Account; readonly host: string }) {
  const tokens = useQuery(tokensQuery);
  const [isCreating, creating] = useDisclosure(false);
  const [created, setCreated] = useState<CreatedToken>();
  return (
    <Stack>
      <Group justify="space-between">
        <Title order={1} size="h2">
          Access tokens
        </Title>
        <Button onClick={creating.open}>Create token</Button>
      </Group>
      <Text size="sm" c="dimmed">
        Use a token in place of your password in scripts and on other machines. It can be limited, and taken
        back at any time.
      </Text>
      {created !== undefined && (
        <Alert
          color="teal"
          title="Copy the token now: it is not shown again"
          withCloseButton
          closeButtonLabel="Done"
          onClose={() => setCreated(undefined)}
        >
          <Stack gap="xs">
            <CopyLine text={created.secret} label="the token" />
            <Text size="sm">Sign in with it:</Text>
            <CopyLine
              text={`echo ${created.secret} | docker login -u ${account.username} --password-stdin ${host}`}
              label="the login command"
            />
          </Stack>
        </Alert>
      )}
      <QueryView query={tokens}>
        {(list) =>
          list.length === 0 ? <Text c="dimmed">There are no tokens yet.</Text> : <TokenTable tokens={list} />
        }
      </QueryView>
      <Modal opened={isCreating} onClose={creating.close} title="Create token">
        <CreateToken
          account={account}
          onCreated={(token) => {
            setCreated(token);
            creating.close();
          }}
        />
      </Modal>
    </Stack>
  );
}

function TokenTable({ tokens }: { readonly tokens: readonly AccessToken[] }) {
  const client = useQueryClient();
  const refresh = () => client.invalidateQueries({ queryKey: ['tokens'] });
  const toggle = useMutation({
    mutationFn: (token: AccessToken) =>
      call('PATCH', `/api/tokens/${token.id}`, { isActive: !token.isActive }),
    onSuccess: refresh,
  });
  const remove = useMutation({
    mutationFn: (token: AccessToken) => call('DELETE', `/api/tokens/${token.id}`),
    onSuccess: refresh,
  });
  return (
    <Stack gap="sm">
      {tokens.map((token) => (
        <Card key={token.id} withBorder padding="md">
          <Group justify="space-between" align="flex-start">
            <Stack gap={4}>
              <Group gap="xs">
                <Text fw={600} style={{ overflowWrap: 'anywhere' }}>
                  {token.description}
                </Text>
                <TokenState token={token} />
              </Group>
              <Table layout="auto" withRowBorders={false} verticalSpacing={2} fz="sm">
                <Table.Tbody>
                  <Fact
                    name="May"
                    value={SCOPES.find((scope) => scope.value === token.scope)?.label ?? token.scope}
                  />
                  <Fact
                    name="In"
                    value={
                      token.repositories.length === 0 ? 'all repositories' : token.repositories.join(', ')
                    }
                  />
                  <Fact name="Created" value={formatAgo(token.createdAt)} />
                  <Fact name="Last used" value={formatAgo(token.lastUsedAt)} />
                  <Fact
                    name="Ends"
                    value={token.expiresAt === null ? 'never' : formatTime(token.expiresAt)}
                  />
                </Table.Tbody>
              </Table>
            </Stack>
            <Group gap="xs">
              <Button variant="default" size="xs" onClick={() => toggle.mutate(token)}>
                {token.isActive ? 'Switch off' : 'Switch on'}
              </Button>
              <Button variant="light" color="red" size="xs" onClick={() => remove.mutate(token)}>
                Delete
              </Button>
            </Group>
          </Group>
        </Card>
      ))}
    </Stack>
  );
}

function Fact({ name, value }: { readonly name: string; readonly value: string }) {
  return (
    <Table.Tr>
      <Table.Th c="dimmed" fw={400} pl={0} style={{ whiteSpace: 'nowrap', verticalAlign: 'top' }}>
        {name}
      </Table.Th>
      <Table.Td style={{ overflowWrap: 'anywhere' }}>{value}</Table.Td>
    </Table.Tr>
  );
}

function TokenState({ token }: { readonly token: AccessToken }) {
  if (token.expiresAt !== null && token.expiresAt < Date.now())
    return (
      <Badge variant="light" color="gray" radius="sm">
        expired
      </Badge>
    );
  return token.isActive ? (
    <Badge variant="light" color="teal" radius="sm">
      active
    </Badge>
  ) : (
    <Badge variant="light" color="gray" radius="sm">
      off
    </Badge>
  );
}

function CreateToken({
  account,
  onCreated,
}: {
  readonly account: Account;
  readonly onCreated: (token: CreatedToken) => void;
}) {
  const client = useQueryClient();
  const repositories = useQuery(repositoriesQuery({ namespace: account.username }));
  const [description, setDescription] = useState('');
  const [scope, setScope] = useState<TokenScope>('read');
  const [days, setDays] = useState('90');
  const [limited, setLimited] = useState<string[]>([]);
  const mutation = useMutation({
    mutationFn: () =>
      call<CreatedToken>('POST', '/api/tokens', {
        description,
        scope,
        repositories: limited,
        expiresInDays: days === '' ? null : Number(days),
      }),
    onSuccess: async (token) => {
      await client.invalidateQueries({ queryKey: ['tokens'] });
      onCreated(token);
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    mutation.mutate();
  };
  const names = (repositories.data ?? []).map((repository) => `${repository.namespace}/${repository.name}`);
  return (
    <form onSubmit={submit}>
      <Stack>
        <FormError error={mutation.error} fields={['description']} />
        <TextInput
          label="What is it for?"
          placeholder="CI of the web shop"
          value={description}
          onChange={(event) => setDescription(event.currentTarget.value)}
          error={fieldError(mutation.error, 'description')}
          required
          data-autofocus
        />
        <Select
          label="It may"
          data={SCOPES}
          value={scope}
          onChange={(value) => setScope((value ?? 'read') as TokenScope)}
          allowDeselect={false}
        />
        <MultiSelect
          label="In repositories"
          placeholder={limited.length === 0 ? 'All' : ''}
          data={names}
          value={limited}
          onChange={setLimited}
          searchable
          clearable
        />
        <Select
          label="It ends after"
          data={EXPIRY}
          value={days}
          onChange={(value) => setDays(value ?? '')}
          allowDeselect={false}
        />
        <Button type="submit" loading={mutation.isPending}>
          Create token
        </Button>
      </Stack>
    </form>
  );
}
