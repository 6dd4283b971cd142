import { Stack, Table, Text, Title } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import type { RelatedImage } from '#hub/protocol/index.ts';
import { plural, shortDigest } from '../format.ts';
import { familyQuery, type ImageName } from '../image-api.ts';
import classes from './parts.module.css';
import { QueryView } from './states.tsx';

/** The images of this hub that this one builds on, and those that build on it. */
export function ImageFamilyView({ name }: { readonly name: ImageName }) {
  const family = useQuery(familyQuery(name));
  return (
    <QueryView query={family}>
      {({ uses, twins, usedBy, isTruncated }) => (
        <Stack gap="xl">
          <Section
            title="Uses"
            list={uses}
            about={(each) =>
              each.sharedLayers === 1 ? 'the first layer' : `the first ${each.sharedLayers} layers`
            }
            empty="No image of this hub that you may see begins like this one. When its base image is pushed here too, it is named here: both then have the same first layers."
          />
          <Section
            title="Used by"
            list={usedBy}
            about={(each) => `adds ${plural(each.layers - each.sharedLayers, 'layer')}`}
            empty="No image that you may see builds on this one. An image that is built FROM it and pushed to this hub appears here."
          />
          {twins.length > 0 && (
            <Section
              title="Same layers"
              list={twins}
              about={() => 'only the config differs, if anything'}
              empty=""
            />
          )}
          {isTruncated && (
            <Text size="sm" c="dimmed">
              There are more than are shown.
            </Text>
          )}
        </Stack>
      )}
    </QueryView>
  );
}

function Section({
  title,
  list,
  about,
  empty,
}: {
  readonly title: string;
  readonly list: readonly RelatedImage[];
  readonly about: (each: RelatedImage) => string;
  readonly empty: string;
}) {
  return (
    <Stack gap="xs" component="section">
      <Title order={2} size="h4">
        {title}
      </Title>
      {list.length === 0 ? (
        <Text size="sm" c="dimmed">
          {empty}
        </Text>
      ) : (
        <Table aria-label={title} verticalSpacing="xs">
          <Table.Tbody>
            {list.map((each) => (
              <Row key={`${each.repository} ${each.digest}`} each={each} about={about(each)} />
            ))}
          </Table.Tbody>
        </Table>
      )}
    </Stack>
  );
}

function Row({ each, about }: { readonly each: RelatedImage; readonly about: string }) {
  const references = each.tags.length > 0 ? each.tags : [each.digest];
  return (
    <Table.Tr>
      <Table.Td>
        {references.map((reference) => (
          <div key={reference}>
            <Link
              className={classes['rowLink'] ?? ''}
              to="/r/$"
              params={{ _splat: each.repository }}
              search={{ reference }}
            >
              {each.repository}
              {reference.includes(':') ? `@${shortDigest(reference)}` : `:${reference}`}
            </Link>
          </div>
        ))}
      </Table.Td>
      <Table.Td ta="right" c="dimmed" fz="sm">
        {about}
      </Table.Td>
    </Table.Tr>
  );
}
