import {
  ActionIcon,
  Alert,
  Anchor,
  AppShell,
  Burger,
  Button,
  Container,
  Group,
  Menu,
  Stack,
  Text,
  TextInput,
  useComputedColorScheme,
  useMantineColorScheme,
} from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { Link, Outlet, useLocation, useNavigate } from '@tanstack/react-router';
import { type FormEvent, useEffect, useState } from 'react';
import type { Account } from '#hub/protocol/index.ts';
import { call, changeViewer, sessionQuery } from './api.ts';
import { useLiveUpdates } from './live.ts';
import { LinkButton } from './parts/links.tsx';
import classes from './parts/parts.module.css';

/** Signing in from here leads to the start page, as ever. */
const PLACES_WITHOUT_RETURN = new Set(['/', '/signin', '/signup']);

/** The frame of every page: header, navigation, main. */
export function Layout() {
  const { data: session } = useQuery(sessionQuery);
  const [isMenuOpen, menu] = useDisclosure(false);
  const isConnected = useLiveUpdates(session?.account?.username);
  const account = session?.account ?? null;
  usePageTitle();
  return (
    <AppShell
      header={{ height: 60 }}
      navbar={{ width: 260, breakpoint: 'sm', collapsed: { mobile: !isMenuOpen, desktop: true } }}
    >
      <a href="#main" className="skip">
        Skip to the content
      </a>
      <AppShell.Header>
        <Container size="lg" h="100%">
          <Group h="100%" wrap="nowrap" gap="md">
            <Burger opened={isMenuOpen} onClick={menu.toggle} hiddenFrom="sm" size="sm" aria-label="Menu" />
            <Brand />
            <Group component="nav" gap={4} visibleFrom="sm" wrap="nowrap" aria-label="Main">
              <NavLinks account={account} onClick={menu.close} />
            </Group>
            <SearchBox />
            <SchemeSwitch />
            <AccountMenu account={account} allowsSignUp={session?.allowsSignUp ?? false} />
          </Group>
        </Container>
      </AppShell.Header>
      <AppShell.Navbar p="md" aria-label="Menu">
        {/* Closed, it is only moved out of sight: nobody should tab into it. */}
        {isMenuOpen && (
          <Stack gap="xs">
            <NavLinks account={account} onClick={menu.close} />
          </Stack>
        )}
      </AppShell.Navbar>
      <AppShell.Main id="main">
        <Container size="lg" py="lg">
          {!isConnected && (
            <Alert color="yellow" role="status" mb="md" title="The hub does not answer">
              This page may be out of date. It goes on by itself when the hub is back.
            </Alert>
          )}
          {session?.isReadOnly === true && (
            <Alert color="yellow" role="status" mb="md" title="The hub is read-only for now">
              Pulling and looking work as ever. Pushes and changes are refused until the maintenance has
              ended.
            </Alert>
          )}
          <Outlet />
        </Container>
        <Container size="lg" pb="lg">
          <Text size="xs" c="dimmed">
            Slipway {session?.version}
          </Text>
        </Container>
      </AppShell.Main>
    </AppShell>
  );
}

const TITLES: Readonly<Record<string, string>> = {
  '/': 'Repositories',
  '/explore': 'Explore',
  '/new': 'Create repository',
  '/tokens': 'Access tokens',
  '/activate': 'Approve a sign-in',
  '/signin': 'Sign in',
  '/signup': 'Create an account',
};

/** Names the page for tabs, histories and screen readers. */
function usePageTitle(): void {
  const path = useLocation({ select: (location) => location.pathname });
  useEffect(() => {
    const name = path.startsWith('/r/') ? path.slice(3) : TITLES[path];
    document.title = name === undefined ? 'Slipway' : `${name} · Slipway`;
  }, [path]);
}

function Brand() {
  return (
    <Anchor component={Link} to="/" underline="never" c="inherit" aria-label="Slipway hub, home">
      <Group gap={8} wrap="nowrap">
        <img src="/icon.svg" alt="" width={28} height={28} />
        <Text fw={700} size="lg" visibleFrom="xs">
          Slipway
        </Text>
      </Group>
    </Anchor>
  );
}

function NavLinks({ account, onClick }: { readonly account: Account | null; readonly onClick: () => void }) {
  const links =
    account === null
      ? [{ to: '/explore', text: 'Explore' } as const]
      : ([
          { to: '/', text: 'Repositories' },
          { to: '/explore', text: 'Explore' },
          { to: '/tokens', text: 'Access tokens' },
        ] as const);
  return links.map((link) => (
    <Button
      key={link.to}
      component={Link}
      to={link.to}
      variant="subtle"
      color="gray"
      size="compact-md"
      onClick={onClick}
      justify="flex-start"
    >
      {link.text}
    </Button>
  ));
}

function SearchBox() {
  const navigate = useNavigate();
  const [text, setText] = useState('');
  const search = (event: FormEvent) => {
    event.preventDefault();
    void navigate({ to: '/explore', search: text === '' ? {} : { q: text } });
  };
  return (
    <form onSubmit={search} style={{ flex: 1, minWidth: 0 }}>
      <TextInput
        aria-label="Search repositories"
        placeholder="Search"
        value={text}
        onChange={(event) => setText(event.currentTarget.value)}
        maw={320}
        ml="auto"
        type="search"
      />
    </form>
  );
}

function SchemeSwitch() {
  const { setColorScheme } = useMantineColorScheme();
  const scheme = useComputedColorScheme('light');
  const other = scheme === 'dark' ? 'light' : 'dark';
  return (
    <ActionIcon
      variant="subtle"
      color="gray"
      size="lg"
      aria-label={`Use ${other} colors`}
      onClick={() => setColorScheme(other)}
    >
      <svg width="18" height="18" viewBox="0 0 18 18" aria-hidden="true">
        <circle cx="9" cy="9" r="7" fill="none" stroke="currentColor" strokeWidth="1.500" />
        <path d="M9 2a7 7 0 0 1 0 14z" fill="currentColor" />
      </svg>
    </ActionIcon>
  );
}

function AccountMenu({
  account,
  allowsSignUp,
}: {
  readonly account: Account | null;
  readonly allowsSignUp: boolean;
}) {
  const client = useQueryClient();
  const navigate = useNavigate();
  const here = useLocation({ select: (location) => location });
  const back = PLACES_WITHOUT_RETURN.has(here.pathname) ? {} : { next: here.href };
  const signOut = useMutation({
    mutationFn: () => call('DELETE', '/api/session'),
    onSuccess: async () => {
      await navigate({ to: '/signin' });
      await changeViewer(client);
    },
  });
  if (account === null) {
    return (
      <Group gap="xs" wrap="nowrap">
        <LinkButton to="/signin" search={back} variant="default" size="compact-md">
          Sign in
        </LinkButton>
        {allowsSignUp && (
          <LinkButton to="/signup" search={back} size="compact-md" visibleFrom="sm">
            Sign up
          </LinkButton>
        )}
      </Group>
    );
  }
  return (
    <Menu position="bottom-end" withArrow>
      <Menu.Target>
        <ActionIcon variant="transparent" size="lg" radius="xl" aria-label={`Account ${account.username}`}>
          <span className={classes['avatar']} data-initials={account.username.slice(0, 2)} />
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Label>
          {account.username}
          {account.isAdmin ? ' (administrator)' : ''}
        </Menu.Label>
        <Menu.Item component={Link} to="/tokens">
          Access tokens
        </Menu.Item>
        <Menu.Item onClick={() => signOut.mutate()}>Sign out</Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}
