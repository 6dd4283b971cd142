import { Alert, Button, Card, Group, Stack, Text, TextInput, Title } from '@mantine/core';
import { useMutation, useQuery } from '@tanstack/react-query';
import { Navigate, useNavigate, useSearch } from '@tanstack/react-router';
import { type FormEvent, useState } from 'react';
import type { Account, PendingDevice } from '#hub/protocol/index.ts';
import { ApiFailure, call, deviceQuery, sessionQuery } from '../api.ts';
import { formatAgo } from '../format.ts';
import { FormError, QueryView } from '../parts/states.tsx';

/** Approves (or refuses) the sign-in of a command line by the code it shows. */
export function ActivatePage() {
  const { code } = useSearch({ strict: false }) as { readonly code?: string };
  const session = useQuery(sessionQuery);
  const next = code === undefined ? '/activate' : `/activate?code=${encodeURIComponent(code)}`;
  return (
    <QueryView query={session}>
      {({ account }) =>
        account === null ? (
          <Navigate to="/signin" search={{ next }} replace />
        ) : (
          <Card withBorder maw={480} mx="auto" mt="xl" p="xl">
            {code === undefined ? (
              <CodeForm />
            ) : (
              <Decision key={code} code={code.toUpperCase()} account={account} />
            )}
          </Card>
        )
      }
    </QueryView>
  );
}

function CodeForm({ code = '', error = null }: { readonly code?: string; readonly error?: Error | null }) {
  const navigate = useNavigate();
  const [typed, setTyped] = useState(code);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    void navigate({ to: '/activate', search: { code: typed.trim() } });
  };
  return (
    <form onSubmit={submit}>
      <Stack>
        <Title order={1} size="h2">
          Sign in a command line
        </Title>
        <FormError error={error} fields={[]} />
        <TextInput
          label="Code"
          description="Eight letters, as your terminal shows them"
          placeholder="WDJB-MJHT"
          value={typed}
          onChange={(event) => setTyped(event.currentTarget.value.toUpperCase())}
          maxLength={20}
          styles={{ input: { fontFamily: 'var(--mantine-font-family-monospace)' } }}
          autoComplete="off"
          required
          data-autofocus
        />
        <Group>
          <Button type="submit">Continue</Button>
        </Group>
      </Stack>
    </form>
  );
}

function Decision({ code, account }: { readonly code: string; readonly account: Account }) {
  const pending = useQuery(deviceQuery(code));
  const decide = useMutation({
    mutationFn: (approve: boolean) =>
      call('POST', '/api/device/decision', { code, approve }).then(() => approve),
  });
  if (decide.data !== undefined) return <Decided approved={decide.data} />;
  const isMissing = pending.error instanceof ApiFailure && pending.error.status === 404;
  if (isMissing && pending.data === undefined) return <CodeForm code={code} error={pending.error} />;
  return (
    <QueryView query={pending}>
      {(device) => (
        <Stack>
          <Title order={1} size="h2">
            Sign in a command line?
          </Title>
          <Text ff="monospace" fw={700} fz={28} ta="center" data-code>
            {code}
          </Text>
          <Text size="sm">
            Approve only if your own terminal shows this code. It may then pull and push as{' '}
            <b>{account.username}</b>, with an access token you can switch off at any time.
          </Text>
          <Origin device={device} />
          <FormError error={decide.error} fields={[]} />
          <Group>
            <Button onClick={() => decide.mutate(true)} loading={decide.isPending}>
              Approve
            </Button>
            <Button variant="default" onClick={() => decide.mutate(false)} disabled={decide.isPending}>
              Deny
            </Button>
          </Group>
        </Stack>
      )}
    </QueryView>
  );
}

function Origin({ device }: { readonly device: PendingDevice }) {
  return (
    <Text size="sm" c="dimmed" style={{ overflowWrap: 'anywhere' }}>
      Asked for {formatAgo(device.createdAt)} from {device.address} by “{device.client}”.
    </Text>
  );
}

function Decided({ approved }: { readonly approved: boolean }) {
  return approved ? (
    <Alert color="teal" role="status" title="Approved">
      Your terminal is signed in now. You can close this page.
    </Alert>
  ) : (
    <Alert color="gray" role="status" title="Denied">
      The command line was not signed in.
    </Alert>
  );
}
