export const since = (startMs: number): string => `${((performance.now() - startMs) / 1000).toFixed(1)} s`;

/** Runs a named part of the work and says how long it took, also when it fails. */
export async function phase<T>(title: string, work: () => Promise<T>): Promise<T> {
  const start = performance.now();
  console.error(`== ${title}`);
  try {
    const value = await work();
    console.error(`== ${title}: ${since(start)}`);
    return value;
  } catch (error) {
    console.error(`== ${title}: failed after ${since(start)}`);
    throw error;
  }
}
