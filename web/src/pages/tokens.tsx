import { Alert, Badge, Button, Card, Group, Modal, Stack, Table, Text, Title } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { Navigate } from '@tanstack/react-router';
import { useState } from 'react';
import type { AccessToken, Account, CreatedToken } from '#hub/protocol/index.ts';
import { call, sessionQuery, tokensQuery } from '../api.ts';
import { formatAgo, formatTime } from '../format.ts';
import { type Client, ClientSwitch, hubCommand, useClient } from '../parts/client.tsx';
import { CopyLine } from '../parts/copy-line.tsx';
import { FormError, QueryView } from '../parts/states.tsx';
import { SCOPES, TokenForm } from '../parts/token-form.tsx';

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
        <Created
          created={created}
          username={account.username}
          host={host}
          onDone={() => setCreated(undefined)}
        />
      )}
      <QueryView query={tokens}>
        {(list) =>
          list.length === 0 ? <Text c="dimmed">There are no tokens yet.</Text> : <TokenTable tokens={list} />
        }
      </QueryView>
      <Modal opened={isCreating} onClose={creating.close} title="Create token">
        <TokenForm
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

interface CreatedProps {
  readonly created: CreatedToken;
  readonly username: string;
  readonly host: string;
  readonly onDone: () => void;
}

/** The secret, this once, and the line that signs in with it. */
function Created({ created, username, host, onDone }: CreatedProps) {
  const [client] = useClient();
  return (
    <Alert
      color="teal"
      title="Copy the token now: it is not shown again"
      withCloseButton
      closeButtonLabel="Done"
      // A command scrolls in its own line instead of making this wider than the page.
      styles={{ body: { minWidth: 0 } }}
      onClose={onDone}
    >
      <Stack gap="xs">
        <CopyLine text={created.secret} label="the token" />
        <Group justify="space-between">
          <Text size="sm">Sign in with it:</Text>
          <ClientSwitch />
        </Group>
        <CopyLine text={loginLine(client, created.secret, username, host)} label="the login command" />
        <Text size="xs" c="dimmed">
          The command holds the token: in a shell that keeps a history, begin it with a space.
        </Text>
      </Stack>
    </Alert>
  );
}

function loginLine(client: Client, secret: string, username: string, host: string): string {
  return `echo ${secret} | ${hubCommand(client, 'login', `-u ${username} --password-stdin ${host}`)}`;
}

function TokenTable({ tokens }: { readonly tokens: readonly AccessToken[] }) {
  const client = useQueryClient();
  const refresh = () => client.invalidateQueries({ queryKey: ['tokens'] });
  const toggle = useMutation({
    mutationFn: (token: AccessToken) =>
      call('PATCH', `/api/tokens/${token.id}`, { isActive: !token.isActive }),
    onSuccess: refresh,
  });
  const [doomed, setDoomed] = useState<AccessToken>();
  return (
    <Stack gap="sm">
      <FormError error={toggle.error} fields={[]} />
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
              <Button variant="light" color="red" size="xs" onClick={() => setDoomed(token)}>
                Delete
              </Button>
            </Group>
          </Group>
        </Card>
      ))}
      <DeleteToken token={doomed} onClose={() => setDoomed(undefined)} />
    </Stack>
  );
}

function DeleteToken({
  token,
  onClose,
}: {
  readonly token: AccessToken | undefined;
  readonly onClose: () => void;
}) {
  const client = useQueryClient();
  const remove = useMutation({
    mutationFn: () => call('DELETE', `/api/tokens/${token?.id}`),
    onSuccess: async () => {
      await client.invalidateQueries({ queryKey: ['tokens'] });
      onClose();
    },
  });
  return (
    <Modal opened={token !== undefined} onClose={onClose} title={`Delete “${token?.description}”?`}>
      <Stack>
        <Text size="sm">
          Whatever signs in with it cannot pull or push any more, from now on. Switched off, it could be
          switched on again.
        </Text>
        <FormError error={remove.error} fields={[]} />
        <Group justify="flex-end">
          <Button variant="default" onClick={onClose} data-autofocus>
            Keep it
          </Button>
          <Button color="red" loading={remove.isPending} onClick={() => remove.mutate()}>
            Delete token
          </Button>
        </Group>
      </Stack>
    </Modal>
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
