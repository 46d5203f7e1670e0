/** Columns as wide as their widest cell; the first row is the head. What ends a row early makes no column wider. */
export function table(rows: readonly (readonly string[])[]): string {
  const [head = []] = rows;
  const counts = (cells: readonly string[], column: number) =>
    cells.length === head.length || column < cells.length - 1;
  const widths = head.map((_, column) =>
    Math.max(...rows.map((cells) => (counts(cells, column) ? (cells[column]?.length ?? 0) : 0))),
  );
  return rows
    .map((cells) =>
      cells
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("   ")
        .trimEnd(),
    )
    .join("\n");
}
