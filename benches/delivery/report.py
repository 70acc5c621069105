"""Tables in Markdown."""
import statistics


def table(title, headings, rows):
    print(f"\n## {title}\n")
    print("| " + " | ".join(headings) + " |\n|" + "---|" * len(headings))
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |")


def aim(value, most, text=None):
    """Two cells: what is aimed at, and whether it is reached."""
    return (text or f"≤ {most:g}", "yes" if value <= most else "**no**")


def median(turns):
    return statistics.median(turns)


def mib(bytes_):
    return f"{bytes_ / 2**20:.1f} MiB"


def kib(bytes_):
    return f"{bytes_ / 2**10:.1f} KiB"


def ms(microseconds):
    return f"{microseconds / 1000:.2f} ms"
