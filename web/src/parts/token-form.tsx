import { Button, Group, MultiSelect, Radio, Select, Stack, TextInput } from '@mantine/core';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { type FormEvent, useState } from 'react';
import type { Account, CreatedToken, CreateTokenRequest, TokenScope } from '#hub/protocol/index.ts';
import { call, repositoriesQuery } from '../api.ts';
import { FormError, fieldError } from './states.tsx';

/** What a token may do, in words. */
export const SCOPES: readonly { readonly value: TokenScope; readonly label: string }[] = [
  { value: 'read', label: 'Read: pull' },
  { value: 'write', label: 'Read & write: pull and push' },
  { value: 'delete', label: 'Read, write & delete' },
];
const EXPIRY = [
  { value: '30', label: '30 days' },
  { value: '90', label: '90 days' },
  { value: 'custom', label: 'On a day I choose' },
  { value: '', label: 'No end' },
];
const DAY_MS = 24 * 3600_000;

interface TokenFormProps {
  readonly account: Account;
  readonly onCreated: (token: CreatedToken) => void;
}

/** A new access token: what for, what it may do, where, and until when. */
export function TokenForm({ account, onCreated }: TokenFormProps) {
  const client = useQueryClient();
  const repositories = useQuery(repositoriesQuery({ namespace: account.username }));
  const [description, setDescription] = useState('');
  const [scope, setScope] = useState<TokenScope>('read');
  const [expiry, setExpiry] = useState('90');
  const [day, setDay] = useState('');
  const [isLimited, setLimited] = useState(false);
  const [chosen, setChosen] = useState<string[]>([]);
  const mutation = useMutation({
    mutationFn: () => {
      const body: CreateTokenRequest = {
        description,
        scope,
        repositories: isLimited ? chosen : [],
        ...expiryOf(expiry, day),
      };
      return call<CreatedToken>('POST', '/api/tokens', body);
    },
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
        <FormError error={mutation.error} fields={['description', 'repositories', 'expiresAt']} />
        <TextInput
          label="What is it for?"
          placeholder="CI of the web shop"
          value={description}
          onChange={(event) => setDescription(event.currentTarget.value)}
          error={fieldError(mutation.error, 'description')}
          maxLength={100}
          required
          data-autofocus
        />
        <Radio.Group label="It may" value={scope} onChange={(value) => setScope(value as TokenScope)}>
          <Stack gap={6} mt={6}>
            {SCOPES.map(({ value, label }) => (
              <Radio key={value} value={value} label={label} />
            ))}
          </Stack>
        </Radio.Group>
        <Radio.Group
          label="In"
          value={isLimited ? 'some' : 'all'}
          onChange={(value) => setLimited(value === 'some')}
        >
          <Stack gap={6} mt={6}>
            <Radio value="all" label="All my repositories, also those to come" />
            <Radio value="some" label="Only these" disabled={names.length === 0} />
          </Stack>
        </Radio.Group>
        {isLimited && (
          <MultiSelect
            label="Repositories"
            placeholder={chosen.length === 0 ? 'Choose at least one' : ''}
            data={names}
            value={chosen}
            onChange={setChosen}
            error={fieldError(mutation.error, 'repositories')}
            searchable
            clearable
          />
        )}
        <Group align="flex-start" grow>
          <Select
            label="It ends after"
            data={EXPIRY}
            value={expiry}
            onChange={(value) => setExpiry(value ?? '')}
            allowDeselect={false}
          />
          {expiry === 'custom' && (
            <TextInput
              label="Last day"
              type="date"
              value={day}
              onChange={(event) => setDay(event.currentTarget.value)}
              min={dayText(Date.now())}
              max={dayText(Date.now() + 3649 * DAY_MS)}
              error={fieldError(mutation.error, 'expiresAt')}
              required
            />
          )}
        </Group>
        <Button type="submit" loading={mutation.isPending} disabled={isLimited && chosen.length === 0}>
          Create token
        </Button>
      </Stack>
    </form>
  );
}

/** The end of the chosen day, where the browser is. */
function expiryOf(expiry: string, day: string): Pick<CreateTokenRequest, 'expiresInDays' | 'expiresAt'> {
  if (expiry === '') return {};
  if (expiry !== 'custom') return { expiresInDays: Number(expiry) };
  return { expiresAt: new Date(`${day}T23:59:59`).getTime() };
}

/** `2026-11-24`, as a date field has it. */
function dayText(time: number): string {
  const date = new Date(time);
  const two = (value: number) => String(value).padStart(2, '0');
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
}
