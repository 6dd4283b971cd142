import { Badge, Group, Table, Text, UnstyledButton } from '@mantine/core';
import type { FileEntry } from '#hub/protocol/index.ts';
import { formatBytes, formatMode, formatOwner, formatTime } from '../format.ts';
import classes from './files.module.css';

const KINDS: Readonly<Record<string, string>> = {
  h: 'hard link',
  c: 'device',
  b: 'device',
  p: 'pipe',
  w: 'deleted here',
  o: 'emptied here',
};
/** Whether there is something in it to open. */
export function isFolder(entry: FileEntry): boolean {
  return entry.type === 'd' || (entry.type === 'o' && entry.children > 0);
}

/** How far in a row of this depth begins. */
export function indent(depth: number): number {
  return Math.min(depth, 12) * 16;
}

/** One row; what has content or children is a button. `isOpen` is `undefined` where nothing unfolds. */
export function EntryRow({
  entry,
  name,
  depth,
  isOpen,
  onClick,
}: {
  readonly entry: FileEntry;
  readonly name: string;
  readonly depth: number;
  readonly isOpen: boolean | undefined;
  readonly onClick: () => void;
}) {
  const folder = isFolder(entry);
  const mode = formatMode(entry.type, entry.mode);
  const owner = formatOwner(entry.uid, entry.gid);
  const kind = KINDS[entry.type];
  const isButton = folder || entry.type === 'f' || entry.type === 'l' || entry.type === 'h';
  const label = (
    <span className={classes['label']}>
      <Icon type={folder ? (isOpen === true ? 'open' : 'closed') : entry.type} />
      <span className={classes['text']}>
        {name}
        {entry.type === 'l' && <span className={classes['link']}> → {entry.link}</span>}
        {entry.type === 'h' && (
          <span className={classes['link']}> = /{entry.link.replace(/^\.?\//, '')}</span>
        )}
      </span>
    </span>
  );
  const gone = entry.type === 'w' || entry.type === 'o';
  return (
    <Table.Tr data-path={entry.path}>
      <Table.Td>
        <Group gap={6} wrap="nowrap" style={{ paddingLeft: indent(depth) }}>
          {isButton ? (
            <UnstyledButton
              className={classes['name'] ?? ''}
              onClick={onClick}
              {...(folder && isOpen !== undefined ? { 'aria-expanded': isOpen } : {})}
            >
              {label}
            </UnstyledButton>
          ) : (
            <span className={gone ? classes['gone'] : ''}>{label}</span>
          )}
          {kind !== undefined && (
            <Badge size="xs" variant="light" color={gone ? 'red' : 'gray'} radius="sm" tt="none" flex="none">
              {kind}
            </Badge>
          )}
        </Group>
        <Text size="xs" c="dimmed" hiddenFrom="sm" ff="monospace" style={{ paddingLeft: indent(depth) + 20 }}>
          {entry.type === 'w' ? '' : `${mode} ${owner}`}
          <span className={classes['narrow']}> layer {entry.layer + 1}</span>
        </Text>
      </Table.Td>
      <Table.Td ta="right" fz="sm" style={{ verticalAlign: 'top' }}>
        {folder || entry.type === 'f' ? formatBytes(entry.sizeBytes) : ''}
      </Table.Td>
      <Table.Td ff="monospace" fz="xs" visibleFrom="sm" title={entry.mode.toString(8).padStart(4, '0')}>
        {entry.type === 'w' ? '' : mode}
      </Table.Td>
      <Table.Td fz="sm" visibleFrom="sm" title={`user ${entry.uid}, group ${entry.gid}`}>
        {entry.type === 'w' ? '' : owner}
      </Table.Td>
      <Table.Td ta="right" fz="sm" visibleFrom="xs" title={formatTime(entry.modifiedAt)}>
        {entry.layer + 1}
      </Table.Td>
    </Table.Tr>
  );
}

const PATHS: Readonly<Record<string, string>> = {
  open: 'M2 5.500V3.500h4l1.500 1.500H14v1.500M2 5.500 3.200 13h9.600L14.500 6.500H4L3.200 13',
  closed: 'M2 3.500h4l1.500 1.500H14v8H2z',
  l: 'M6.500 9.500 12 4M8 3.500h4.500V8M6 4H3.500v8.500H12V10',
  file: 'M4 2h5l3 3v9H4zM9 2v3h3',
};

function Icon({ type }: { readonly type: string }) {
  return (
    <svg
      className={classes['icon']}
      width="16"
      height="16"
      viewBox="0 0 16 16"
      fill="none"
      stroke="currentColor"
      strokeWidth="1.2"
      strokeLinejoin="round"
      aria-hidden="true"
    >
      <path d={PATHS[type] ?? PATHS['file']} />
    </svg>
  );
}
