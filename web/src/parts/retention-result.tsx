import { Button, Group, Modal, Skeleton, Stack, Table, Text } from '@mantine/core';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import type { RetentionDecision, RetentionPolicy, RetentionPreview } from '#hub/protocol/index.ts';
import { call } from '../api.ts';
import { formatBytes, formatCount, plural } from '../format.ts';
import classes from './parts.module.css';
import { Failure, FormError } from './states.tsx';

/** So many rows are laid out; the rest is counted. */
const ROWS_SHOWN = 200;

/** What rules would do, tag by tag, and why. */
export function RetentionResult({ preview }: { readonly preview: RetentionPreview }) {
  const { goes, spared, total, removal } = preview;
  return (
    <Stack gap="xs" role="status">
      <Text size="sm" fw={600}>
        {goes.length === 0
          ? `None of ${plural(total, 'tag')} would go.`
          : `${formatCount(goes.length)} of ${plural(total, 'tag')} would go; ${formatBytes(removal.freedBytes)} would be freed.`}
      </Text>
      {goes.length > 0 && <Decisions label="Tags that would go" decisions={goes} />}
      {spared.length > 0 && (
        <>
          <Text size="sm">A rule is about these too, but they stay:</Text>
          <Decisions label="Tags that stay" decisions={spared} />
        </>
      )}
    </Stack>
  );
}

function Decisions({
  label,
  decisions,
}: {
  readonly label: string;
  readonly decisions: readonly RetentionDecision[];
}) {
  const rest = decisions.length - ROWS_SHOWN;
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, also by keyboard
    <section className={classes['scrollBox'] ?? ''} tabIndex={0} aria-label={label}>
      <Table fz="sm" verticalSpacing={4} aria-label={label}>
        <Table.Thead>
          <Table.Tr>
            <Table.Th>Tag</Table.Th>
            <Table.Th>Why</Table.Th>
            <Table.Th visibleFrom="xs" w={70}>
              Rule
            </Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {decisions.slice(0, ROWS_SHOWN).map((decision) => (
            <Table.Tr key={decision.tag}>
              <Table.Td miw={80} style={{ overflowWrap: 'anywhere' }}>
                {decision.tag}
              </Table.Td>
              <Table.Td>{decision.reason}</Table.Td>
              <Table.Td visibleFrom="xs">{decision.rule + 1}</Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
      {rest > 0 && (
        <Text size="sm" c="dimmed" p="xs">
          And {formatCount(rest)} more.
        </Text>
      )}
    </section>
  );
}

interface RunDialogProps {
  readonly name: string;
  /** As saved: these are applied. */
  readonly policy: RetentionPolicy;
  readonly isOpen: boolean;
  readonly onClose: () => void;
}

/** Applies the saved rules once it has been seen what that does. */
export function RunDialog({ name, policy, isOpen, onClose }: RunDialogProps) {
  const client = useQueryClient();
  const preview = useQuery({
    queryKey: ['retention-preview', name, policy],
    queryFn: () => call<RetentionPreview>('POST', `/api/retention-preview/${name}`, policy),
    enabled: isOpen,
    staleTime: 0,
  });
  const run = useMutation({
    mutationFn: () => call<RetentionPreview>('POST', `/api/retention-run/${name}`, {}),
    onSuccess: async () => {
      for (const key of ['tags', 'repository', 'retention'])
        await client.invalidateQueries({ queryKey: [key, name] });
      onClose();
    },
  });
  const count = preview.data?.goes.length ?? 0;
  return (
    <Modal opened={isOpen} onClose={onClose} title={`Apply the rules to ${name} now?`} size="lg">
      <Stack>
        {preview.error !== null && <Failure error={preview.error} />}
        {preview.data === undefined && preview.error === null && <Skeleton height={80} />}
        {preview.data !== undefined && <RetentionResult preview={preview.data} />}
        <FormError error={run.error} fields={[]} />
        <Group justify="flex-end">
          <Button variant="default" onClick={onClose} data-autofocus>
            Cancel
          </Button>
          <Button color="red" disabled={count === 0} loading={run.isPending} onClick={() => run.mutate()}>
            Delete {plural(count, 'tag')}
          </Button>
        </Group>
      </Stack>
    </Modal>
  );
}
