import pytest

from conr.tables.numbers import UnclearError, Writing, detected_writing, looks_like_number


@pytest.mark.parametrize(
    ("texts", "numbers", "writing"),
    [
        ("1 -2.5 3e-2", [1, -2.5, 0.03], Writing()),
        ("$8,320.58 -$12,977.80 $5", [8320.58, -12977.8, 5], Writing(".", ",", "$")),
        ("1.664,12 938,47", [1664.12, 938.47], Writing(",", ".")),
        ("1.234,5|(2.000,0)|\u22127,5", [1234.5, -2000, -7.5], Writing(",", ".")),
        ("55% 7%", [55, 7], Writing(unit="%")),
        ("52 km|116 km", [52, 116], Writing(unit="km")),
        ("1\u202f234,50 \u20ac|12,00 \u20ac", [1234.5, 12], Writing(",", " ", "\u20ac")),
        ("1'234.5|7", [1234.5, 7], Writing(".", "'")),
        ("1,000,000 5", [1000000, 5], Writing(".", ",")),
        ("USD 1,000.50|USD 2.00", [1000.5, 2], Writing(".", ",", "USD")),
        ("3 m\u00b2|5.5 m\u00b2", [3, 5.5], Writing(unit="m\u00b2")),
        ("$(1,234.50)|$7", [-1234.5, 7], Writing(".", ",", "$")),
        ("(1,234.50)|(5)", [-1234.5, -5], Writing(".", ",")),
        ("1,234.50-|7.25", [-1234.5, 7.25], Writing(".", ",")),
        ("1.234,50- 7,25", [-1234.5, 7.25], Writing(",", ".")),
        ("-$5|$-6|$7", [-5, -6, 7], Writing(unit="$")),
        ("1,23,456.00|12,34,56,789|5", [123456, 123456789, 5], Writing(".", ",")),
        ("1\u2009234,5|7,25", [1234.5, 7.25], Writing(",", " ")),
        ("EUR 12|EUR 7.5", [12, 7.5], Writing(unit="EUR")),
        ("5%|0", [5, 0], Writing(unit="%")),
        ("Rs 5|Rs 7", [5, 7], Writing(unit="Rs")),
        ("1.2M|3M", [1.2, 3], Writing(unit="M")),
        ("55 m2|7.5m2", [55, 7.5], Writing(unit="m2")),
        ("5 m^2|7", [5, 7], Writing(unit="m^2")),
        ("9.8 kg/m3|7 kg/m3", [9.8, 7], Writing(unit="kg/m3")),
        ("1,200 sq ft|1,350.5 sq ft", [1200, 1350.5], Writing(".", ",", "sq ft")),
        ("\uff11\uff12\uff0e\uff15|7", [12.5, 7], Writing()),
        ("\u0661\u0662\u066b\u0665|\u0667", [12.5, 7], Writing()),
        ("\u096b%|7%", [5, 7], Writing(unit="%")),
        ("kr. 1.234,50|kr. 7,5", [1234.5, 7.5], Writing(",", ".", "kr")),
        ("1.234,50 kr.|7,5 kr", [1234.5, 7.5], Writing(",", ".", "kr")),
        ("Rs.500|Rs. 1,250.5", [500, 1250.5], Writing(".", ",", "Rs")),
        ("1,250.00/-|500/-", [1250, 500], Writing(".", ",")),
        ("7,656e+04|1,5e2", [76560, 150], Writing(",", ".")),
        ("~50|~7|12", [50, 7, 12], Writing(unit="~")),
        ("76,6 Mio. \u20ac|7 Mio. \u20ac", [76.6, 7], Writing(",", ".", "Mio. \u20ac")),
        ("12 per cent|7.5 per cent", [12, 7.5], Writing(unit="per cent")),
        ("5%|7", [5, 7], Writing(unit="%")),
    ],
)
def test_a_column_is_read_as_it_is_written(texts: str, numbers: list[float], writing: Writing) -> None:
    cells = texts.split("|" if "|" in texts else " ")
    found = detected_writing(cells)
    assert found == writing
    assert [found.number(cell) for cell in cells] == pytest.approx(numbers)


@pytest.mark.parametrize(
    "texts",
    [
        "1_2 3",
        "A4 B5",
        "1.2.3",
        "0x10",
        "12:30",
        "5 kg|7 lb",
        "5 m2|7 m3",
        "12a2|13b2",
        "1.2M|7",
        "7 Mio. \u20ac|7",
        "30%|0.58",
        "1,234e5|1,234,567",
        "1 two",
        "5 (or 6)",
        "1,2,3",
        "1,23,45",
    ],
)
def test_other_texts_are_no_numbers(texts: str) -> None:
    assert detected_writing(texts.split("|" if "|" in texts else " ")) is None
    assert looks_like_number("5 kg")


def test_a_mark_that_may_be_either_is_asked_for_or_follows_other_columns() -> None:
    with pytest.raises(
        UnclearError,
        match=r"got '1,234', whose mark may be decimal or group thousands "
        r"\(set decimal: '.' for 1234 or ',' for 1.234\)",
    ):
        detected_writing(["1,234", "5,678"])
    readings = [{"likely": "."}, {"likely": ","}, {"decimal": "."}, {"decimal": ","}]
    writings = [detected_writing(["1,234", "5,678"], **options) for options in readings]
    assert [writing and writing.number("1,234") for writing in writings] == [1234, 1.234, 1234, 1.234]
    assert detected_writing(["1.234", "5.678"]) == Writing()
    assert detected_writing(["$1,234", "$917"]) == Writing(".", ",", "$")
    assert detected_writing(["$1,234", "$917"], likely=",") == Writing(",", ".", "$")
    assert detected_writing(["1.234", "5.678"], likely=",") == Writing(",", ".")
    assert detected_writing(["0.234", "5.678"], likely=",") == Writing()
    many = [f"{number} {'kg' if number % 2 else 'lb'}" for number in range(40)]
    with pytest.raises(UnclearError, match="expected numbers in one unit, got '1 kg' and '0 lb'"):
        detected_writing(many)
    shares = [f"{number}%" if number % 2 else f"0.{number + 10}" for number in range(40)]
    with pytest.raises(UnclearError, match=r"expected numbers in one unit, got '0\.10' and '1%'"):
        detected_writing(shares)


def test_later_numbers_are_written_so_or_refused() -> None:
    writing = Writing(",", ".", "%")
    assert [writing.number(text) for text in ("1.234,5 %", "7", "-2,5%")] == [1234.5, 7, -2.5]
    for text in ("2.5", "7 kg", "1_0", ""):
        with pytest.raises(ValueError, match="expected a number"):
            writing.number(text)
    with pytest.raises(ValueError, match="expected two marks for decimals and thousands"):
        Writing(",", ",")


def test_a_number_lacks_no_factor() -> None:
    writing = Writing(unit="M")
    assert (writing.numbers(["1.2M", "3 M", "5"], 3)[1], writing.number("1.2 M")) == ([2], 1.2)
    assert Writing(unit="kg").numbers(["1.2kg", "3 kg", "5"], 3)[1] == []
