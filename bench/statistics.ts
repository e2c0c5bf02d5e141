/**
 * Many figures told by a few.
 *
 * @module
 */

/** The value below which the share `q` of `values` lies; of two that are as near, the mean. */
export function quantile(values: ArrayLike<number>, q: number): number {
  const sorted = Float64Array.from(values).sort();
  const at = q * (sorted.length - 1);
  const low = Math.floor(at);
  const high = Math.ceil(at);
  return sorted[low]! + (sorted[high]! - sorted[low]!) * (at - low);
}

/** The middle value. */
export function median(values: ArrayLike<number>): number {
  return quantile(values, 0.5);
}

/** How far the values lie apart: half of the way from the least to the greatest, as share of the median. */
export function spread(values: number[]): number {
  const width = Math.max(...values) - Math.min(...values);
  // Figures that are all zero do not lie apart.
  return width === 0 ? 0 : width / 2 / median(values);
}

/** What each figure is more than the other that was measured beside it, round by round. */
export function differences(figures: number[], others: number[]): number[] {
  const rounds = Math.min(figures.length, others.length);
  return Array.from({ length: rounds }, (_, i) => figures[i]! - others[i]!);
}

/** The ratios of two rows of figures that were measured side by side, round by round. */
export function ratios(numerators: number[], denominators: number[]): number[] {
  const rounds = Math.min(numerators.length, denominators.length);
  return Array.from({ length: rounds }, (_, i) => numerators[i]! / denominators[i]!);
}
