import { Anchor, Button, Card, List, PasswordInput, Stack, Text, TextInput, Title } from '@mantine/core';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { Link, useNavigate, useSearch } from '@tanstack/react-router';
import { type FormEvent, useState } from 'react';
import type { Account } from '#hub/protocol/index.ts';
import { call, changeViewer, sessionQuery } from '../api.ts';
import { LinkAnchor } from '../parts/links.tsx';
import { FormError, fieldError } from '../parts/states.tsx';

/** Goes where the visitor wanted to be once they are signed in. */
function useSignedIn() {
  const client = useQueryClient();
  const navigate = useNavigate();
  const { next } = useSearch({ strict: false }) as { readonly next?: string };
  return async () => {
    await changeViewer(client);
    await navigate({ href: next ?? '/' });
  };
}

/** Sign in with a username or email and a password. */
export function SignInPage() {
  const { data: session } = useQuery(sessionQuery);
  const signedIn = useSignedIn();
  const keep = useSearch({ strict: false }) as { readonly next?: string };
  const [login, setLogin] = useState('');
  const [password, setPassword] = useState('');
  const mutation = useMutation({
    mutationFn: () => call<Account>('POST', '/api/session', { login, password }),
    onSuccess: signedIn,
  });
  if (session?.isFirstRun) return <SignUpPage />;
  const submit = (event: FormEvent) => {
    event.preventDefault();
    mutation.mutate();
  };
  return (
    <Card withBorder maw={420} mx="auto" mt="xl" p="xl">
      <form onSubmit={submit}>
        <Stack>
          <Title order={1} size="h2">
            Sign in
          </Title>
          <FormError error={mutation.error} fields={[]} />
          <TextInput
            label="Username or email"
            value={login}
            onChange={(event) => setLogin(event.currentTarget.value)}
            autoComplete="username"
            required
          />
          <PasswordInput
            label="Password"
            value={password}
            onChange={(event) => setPassword(event.currentTarget.value)}
            autoComplete="current-password"
            required
          />
          <Button type="submit" loading={mutation.isPending}>
            Sign in
          </Button>
          <Text size="sm">
            {session?.allowsSignUp && (
              <>
                <LinkAnchor to="/signup" search={keep}>
                  Create an account
                </LinkAnchor>{' '}
                or{' '}
              </>
            )}
            <Anchor component={Link} to="/explore">
              browse as a guest
            </Anchor>
          </Text>
        </Stack>
      </form>
    </Card>
  );
}

const RULES: readonly (readonly [string, (username: string, password: string) => boolean])[] = [
  [
    '2 to 30 lower-case letters, digits, "-" or "_"',
    (username) => /^[a-z0-9][a-z0-9_-]{1,29}$/.test(username),
  ],
  ['a password of at least 9 characters', (_, password) => password.length >= 9],
  [
    'the password is not the username',
    (username, password) => password !== '' && password.toLowerCase() !== username,
  ],
];

/** A new account; on a fresh hub it is the administrator's. */
export function SignUpPage() {
  const { data: session } = useQuery(sessionQuery);
  const signedIn = useSignedIn();
  const keep = useSearch({ strict: false }) as { readonly next?: string };
  const [username, setUsername] = useState('');
  const [email, setEmail] = useState('');
  const [password, setPassword] = useState('');
  const mutation = useMutation({
    mutationFn: () => call<Account>('POST', '/api/signup', { username, email, password }),
    onSuccess: signedIn,
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    mutation.mutate();
  };
  const fields = ['username', 'email', 'password'];
  return (
    <Card withBorder maw={460} mx="auto" mt="xl" p="xl">
      <form onSubmit={submit}>
        <Stack>
          <Title order={1} size="h2">
            {session?.isFirstRun ? 'Welcome: create the first account' : 'Create an account'}
          </Title>
          {session?.isFirstRun && (
            <Text size="sm">This hub is new. The first account becomes its administrator.</Text>
          )}
          <FormError error={mutation.error} fields={fields} />
          <TextInput
            label="Username"
            description="Your namespace: images are pushed as username/repository. It cannot be changed later."
            value={username}
            onChange={(event) => setUsername(event.currentTarget.value.toLowerCase())}
            error={fieldError(mutation.error, 'username')}
            autoComplete="username"
            required
          />
          <TextInput
            label="Email"
            type="email"
            value={email}
            onChange={(event) => setEmail(event.currentTarget.value)}
            error={fieldError(mutation.error, 'email')}
            autoComplete="email"
            required
          />
          <PasswordInput
            label="Password"
            value={password}
            onChange={(event) => setPassword(event.currentTarget.value)}
            error={fieldError(mutation.error, 'password')}
            autoComplete="new-password"
            required
          />
          <List size="sm" spacing={2} listStyleType="none" aria-label="Rules">
            {RULES.map(([text, isMet]) => (
              <List.Item key={text} c={isMet(username, password) ? 'teal' : 'dimmed'}>
                {isMet(username, password) ? '✓' : '○'} {text}
              </List.Item>
            ))}
          </List>
          <Button type="submit" loading={mutation.isPending}>
            Create account
          </Button>
          {session?.isFirstRun !== true && (
            <Text size="sm">
              <LinkAnchor to="/signin" search={keep}>
                I have an account
              </LinkAnchor>
            </Text>
          )}
        </Stack>
      </form>
    </Card>
  );
}
