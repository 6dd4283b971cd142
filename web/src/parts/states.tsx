import { Alert, Button, Center, Loader, Stack, Text, Title } from '@mantine/core';
import { type UseQueryResult, useQuery } from '@tanstack/react-query';
import { useLocation } from '@tanstack/react-router';
import { type ReactNode, useEffect, useRef, useState } from 'react';
import { ApiFailure, sessionQuery } from '../api.ts';
import { plural, sentence } from '../format.ts';
import { LinkButton } from './links.tsx';
import classes from './parts.module.css';

/** What a query has to show: loading, an error that says what to do, or its data. */
export function QueryView<T>({
  query,
  children,
}: {
  readonly query: Pick<UseQueryResult<T>, 'data' | 'error'> & { readonly refetch: () => Promise<unknown> };
  readonly children: (data: T) => ReactNode;
}) {
  if (query.data !== undefined) return children(query.data);
  if (query.error !== null) return <Failure error={query.error} onRetry={() => void query.refetch()} />;
  return <Loading />;
}

/** Something is on its way. */
export function Loading() {
  return (
    <Center mih={160} role="status" aria-label="Loading" className={classes['late'] ?? ''}>
      <Loader size="sm" />
    </Center>
  );
}

/** An error, with the way out where there is one. */
export function Failure({ error, onRetry }: { readonly error: Error; readonly onRetry?: () => void }) {
  const failure = error instanceof ApiFailure ? error : undefined;
  if (failure?.status === 404) return <Missing message={failure.message} reason={failure.reason} />;
  return (
    <Alert color={failure?.status === 429 ? 'yellow' : 'red'} title={titleOf(failure?.status)} role="alert">
      <Stack gap="xs" align="flex-start">
        <ErrorText error={error} />
        {failure?.status === 401 ? (
          <SignInLink />
        ) : failure?.retryAt !== undefined ? (
          <Wait key={failure.retryAt} until={failure.retryAt} onRetry={onRetry} />
        ) : (
          onRetry && (
            <Button variant="default" size="xs" onClick={onRetry}>
              Try again
            </Button>
          )
        )}
      </Stack>
    </Alert>
  );
}

/** Counts down to when the hub answers again, and then asks it, once. */
function Wait({ until, onRetry }: { readonly until: number; readonly onRetry: (() => void) | undefined }) {
  const [now, setNow] = useState(Date.now);
  const retry = useRef(onRetry);
  retry.current = onRetry;
  const seconds = Math.max(0, Math.ceil((until - now) / 1000));
  useEffect(() => {
    if (seconds === 0) {
      retry.current?.();
      return;
    }
    const timer = setTimeout(() => setNow(Date.now()), 1000);
    return () => clearTimeout(timer);
  }, [seconds]);
  if (seconds === 0) return <Text size="sm">You can go on now.</Text>;
  return (
    <Text size="sm">
      {onRetry === undefined ? 'Try again in' : 'This page asks again in'} {plural(seconds, 'second')}.
    </Text>
  );
}

function titleOf(status: number | undefined): string {
  if (status === 0) return 'The hub does not answer';
  if (status === 401) return 'You are not signed in any more';
  if (status === 403) return 'This is not yours to do';
  return status === 429 ? 'Too many requests' : 'This did not work';
}

function ErrorText({ error }: { readonly error: Error }) {
  const failure = error instanceof ApiFailure ? error : undefined;
  // How long to wait is counted down beside this.
  const fix = failure?.retryAt === undefined ? (failure?.fix ?? []) : [];
  return [error.message, failure?.reason, ...fix].map(
    (text) =>
      text !== undefined && (
        <Text size="sm" key={text}>
          {sentence(text)}
        </Text>
      ),
  );
}

function SignInLink() {
  const { data: session } = useQuery(sessionQuery);
  const here = useLocation({ select: (location) => location.href });
  return (
    <LinkButton to="/signin" search={{ next: here }} variant="light">
      {session?.account == null ? 'Sign in' : 'Sign in as somebody else'}
    </LinkButton>
  );
}

/** A page for what is not there, or not for this viewer: then there is a reason, and a way to be somebody else. */
export function Missing({
  message,
  reason,
}: {
  readonly message: string;
  readonly reason?: string | undefined;
}) {
  return (
    <Stack align="flex-start" py="xl">
      <Title order={1} size="h2">
        Not found
      </Title>
      <Text style={{ overflowWrap: 'anywhere' }}>{sentence(message)}</Text>
      {reason && <Text c="dimmed">{sentence(reason)}</Text>}
      {reason ? (
        <SignInLink />
      ) : (
        <LinkButton to="/" variant="light">
          Go to the start page
        </LinkButton>
      )}
    </Stack>
  );
}

/** The error of a form as a whole; errors of a field are shown there. */
export function FormError({
  error,
  fields,
}: {
  readonly error: Error | null;
  readonly fields: readonly string[];
}) {
  if (
    error === null ||
    (error instanceof ApiFailure && error.field !== undefined && fields.includes(error.field))
  )
    return null;
  const failure = error instanceof ApiFailure ? error : undefined;
  return (
    <Alert color={failure?.status === 429 ? 'yellow' : 'red'} role="alert">
      <ErrorText error={error} />
      {failure?.retryAt !== undefined && (
        <Wait key={failure.retryAt} until={failure.retryAt} onRetry={undefined} />
      )}
    </Alert>
  );
}

/** Says that a form was saved. */
export function Saved({ isShown }: { readonly isShown: boolean }) {
  return (
    <Text size="sm" c="teal" role="status">
      {isShown ? 'Saved' : ''}
    </Text>
  );
}

/** The text for one field, if the error is about it. */
export function fieldError(error: Error | null, field: string): string | null {
  return error instanceof ApiFailure && error.field === field ? sentence(error.message) : null;
}
