import { Alert, Center, Loader, Stack, Text, Title } from '@mantine/core';
import { type UseQueryResult, useQuery } from '@tanstack/react-query';
import { useLocation } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import { ApiFailure, sessionQuery } from '../api.ts';
import { LinkButton } from './links.ts';

/** What a query has to show: loading, an error that says what to do, or its data. */
export function QueryView<T>({
  query,
  children,
}: {
  readonly query: UseQueryResult<T>;
  readonly children: (data: T) => ReactNode;
}) {
  if (query.data !== undefined) return children(query.data);
  if (query.error !== null) return <Failure error={query.error} />;
  return (
    <Center mih={160} role="status" aria-label="Loading">
      <Loader size="sm" />
    </Center>
  );
}

/** An error, with the way out where there is one. */
export function Failure({ error }: { readonly error: Error }) {
  const failure = error instanceof ApiFailure ? error : undefined;
  if (failure?.status === 404) return <Missing message={failure.message} reason={failure.reason} />;
  return (
    <Alert
      color="red"
      title={failure?.status === 429 ? 'Too many requests' : 'This did not work'}
      role="alert"
    >
      <Text size="sm">{error.message}</Text>
      {failure?.reason && <Text size="sm">{failure.reason}</Text>}
    </Alert>
  );
}

/** A page for what is not there, or not for this viewer. */
export function Missing({
  message,
  reason,
}: {
  readonly message: string;
  readonly reason?: string | undefined;
}) {
  const { data: session } = useQuery(sessionQuery);
  const here = useLocation({ select: (location) => location.href });
  return (
    <Stack align="flex-start" py="xl">
      <Title order={1} size="h2">
        Not found
      </Title>
      <Text>{message}.</Text>
      {reason && <Text c="dimmed">Now {reason}.</Text>}
      <LinkButton to="/signin" search={{ next: here }} variant="light">
        {session?.account == null ? 'Sign in' : 'Sign in as somebody else'}
      </LinkButton>
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
  return (
    <Alert color="red" role="alert">
      {error.message}
    </Alert>
  );
}

/** The text for one field, if the error is about it. */
export function fieldError(error: Error | null, field: string): string | null {
  return error instanceof ApiFailure && error.field === field ? error.message : null;
}
