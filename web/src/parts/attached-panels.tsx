import { Stack, Tabs, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { attachedQuery, type ImageName } from '../image-api.ts';
import { AttachedList, NothingAttached } from './attached.tsx';

/** The panels about what is attached to an image. */
export function AttachedPanels({
  name,
  index,
  reference,
}: {
  readonly name: ImageName;
  readonly index: string;
  /** As a client writes it. */
  readonly reference: string;
}) {
  const subject = `${reference.replace(/[:@][^/]*$/, '')}@${name.digest}`;
  return (
    <>
      <Tabs.Panel value="provenance">
        <AttachedList
          name={name}
          index={index}
          kinds={['sbom', 'provenance', 'signature']}
          label="Provenance and SBOM"
          empty={
            <NothingAttached
              title="No SBOM, provenance or signature is attached to this image."
              text="What would stand here: documents that name this image as their subject, and those that a builder put beside it in the index. The hub lists them and shows what they say; it does not verify them."
              commands={[
                [
                  'BuildKit adds both while it builds',
                  `docker buildx build --sbom=true --provenance=mode=max --push -t ${reference.replace(/@.*$/, '')} .`,
                ],
                [
                  'An SBOM that exists already',
                  `oras attach --artifact-type application/spdx+json ${subject} sbom.spdx.json`,
                ],
              ]}
            />
          }
        />
      </Tabs.Panel>
      <Tabs.Panel value="referrers">
        <AttachedList
          name={name}
          index={index}
          label="Referrers"
          empty={
            <NothingAttached
              title="Nothing refers to this image."
              text="What would stand here: every manifest in this repository whose subject is this digest, with its type, its size and its content. Clients find them through the registry's referrers API."
              commands={[
                ['Attach a file', `oras attach --artifact-type application/example ${subject} FILE`],
                ['List them from a terminal', `oras discover ${subject}`],
              ]}
            />
          }
        />
      </Tabs.Panel>
      <Tabs.Panel value="vulnerabilities">
        <Vulnerabilities name={name} index={index} reference={reference} />
      </Tabs.Panel>
    </>
  );
}

function Vulnerabilities({
  name,
  index,
  reference,
}: {
  readonly name: ImageName;
  readonly index: string;
  readonly reference: string;
}) {
  const attached = useQuery(attachedQuery(name, index));
  const hasReport = attached.data?.some((each) => each.blobs.some((blob) => blob.kind === 'vulnerabilities'));
  return (
    <Stack>
      <NothingAttached
        title="No scanner is connected to this hub yet."
        text="So it does not know whether this image has known vulnerabilities: that nothing is listed does not mean that there are none. A scanner on your machine can look at the image, and a report that is attached to it is listed here."
        commands={[['Look with a scanner of your own', `trivy image ${reference}`]]}
      />
      {hasReport === true && (
        <>
          <Text size="sm">
            These reports were attached by whoever pushed them. The hub did not make them.
          </Text>
          <AttachedList
            name={name}
            index={index}
            kinds={['vulnerabilities']}
            label="Vulnerability reports"
            empty={null}
          />
        </>
      )}
    </Stack>
  );
}
