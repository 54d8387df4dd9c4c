/**
 * What Kubernetes and the Prometheus operator would say to an object, by the models that kubernetes-models makes of their
 * own schemas. Their types know every field, so that a misspelt one is found; their validators also know patterns and
 * formats.
 */
import { spawnSync } from 'node:child_process';
import { symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryDirectory } from './clean-up.ts';

export interface KubernetesObject {
  apiVersion: string;
  kind: string;
  metadata: { name: string; labels: Record<string, string> };
}

const root = join(import.meta.dirname, '../..');

const modelsOf: Record<string, string> = {
  v1: 'kubernetes-models/v1',
  'apps/v1': 'kubernetes-models/apps/v1',
  'networking.k8s.io/v1': 'kubernetes-models/networking.k8s.io/v1',
  'monitoring.coreos.com/v1': '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1',
};

/** One line for each complaint; empty when there is none. Throws for a kind that there is no model of. */
export async function schemaProblems(objects: readonly KubernetesObject[]): Promise<string[]> {
  return [...typeProblems(objects), ...(await validatorProblems(objects))];
}

/** The compiler refuses a literal with a field that its type does not know, at any depth. */
function typeProblems(objects: readonly KubernetesObject[]): string[] {
  const directory = temporaryDirectory();
  symlinkSync(join(root, 'node_modules'), join(directory, 'node_modules'));
  const file = join(directory, 'objects.ts');
  const lines = objects.map((object, index) => {
    const type = `import('${modelsOf[object.apiVersion]}').I${object.kind}`;
    return `export const object${index}: ${type} = ${JSON.stringify(object)};\n`;
  });
  writeFileSync(file, lines.join(''));
  const options = ['--ignoreConfig', '--noEmit', '--strict', '--skipLibCheck', '--module', 'nodenext'];
  const compiler = join(root, 'node_modules/.bin/tsc');
  const { status, stdout } = spawnSync(compiler, [...options, file], { encoding: 'utf8' });
  if (status === 0) return [];
  const errors = stdout.matchAll(/^\S+?\((\d+),\d+\): error \w+: (.*)$/gm);
  return Array.from(errors, ([, line, message]) => `${titleOf(objects[Number(line) - 1]!)}: ${message}`);
}

async function validatorProblems(objects: readonly KubernetesObject[]): Promise<string[]> {
  const problems: string[] = [];
  for (const object of objects) {
    const models = await import(modelsOf[object.apiVersion]!);
    try {
      new models[object.kind](object).validate();
    } catch (error) {
      problems.push(`${titleOf(object)}: ${(error as Error).message}`);
    }
  }
  return problems;
}

function titleOf({ kind, metadata }: KubernetesObject): string {
  return `${kind} ${metadata.name}`;
}
