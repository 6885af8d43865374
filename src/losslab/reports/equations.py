"""Our own LaTeX constants as MathML."""

from markupsafe import Markup


def equation(latex: str, *, display: bool = False) -> Markup:
    """Write a formula as MathML, on a line of its own or within one.

    The converter passes some text through unescaped, so only constants of losslab belong here, never a user's text;
    markup in them is refused.

    Raises:
        ValueError: when the formula holds an angle bracket (write ``\\lt``) or an ampersand entity.
    Example:
        >>> "<msqrt>" in equation(r"\\sqrt{v}")
        True
    """
    from latex2mathml.converter import convert

    if any(character in latex for character in "<>&"):
        raise ValueError(f"`latex` (={latex!r}) must hold no markup")
    return Markup(convert(latex, display="block" if display else "inline"))
