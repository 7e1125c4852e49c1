from seminar_common.reporting.markdown import plain
from seminar_common.reporting.paper import by_topic
from seminar_common.reporting.sections import Section
from seminar_common.reporting.stories import topic_of
from seminar_common.results import Results


def test_a_run_is_of_the_topic_that_its_settings_or_its_command_name(told):
    assert topic_of(Results("tool study --out x")) == "tool"
    assert topic_of(Results("for x in 1 2; do tool evaluate; done")) == "tool"
    assert topic_of(Results("python make.py"), {"topic": "tool"}) == "tool"
    assert topic_of(Results("my-tool study; tool-kit study"), {"topic": "another"}) == ""


def test_a_data_set_has_its_own_card_or_that_of_the_set_it_is_a_variant_of(told):
    assert told.story.card("clicks") == "clicks"
    assert told.story.card("clicks-10k") == "clicks"
    assert told.story.card("clicksandmore") is None
    (source, _), *_ = told.story.cards["clicks"]
    assert source == "Source"


def test_references_are_known_by_their_keys(told):
    assert list(told.story.references) == ["one2020", "two2021", "never2022"]
    assert plain(told.story.references["one2020"]) == "A. One. First of all. 2020."


def test_runs_of_one_topic_stand_together_and_unknown_ones_apart(told):
    runs = [Section("a", told.results), Section("b", Results("else")), Section("c", told.results)]
    topics = by_topic(runs)
    assert [[run.title for run in topic.runs] for topic in topics] == [["a", "c"], ["b"]]
    assert topics[0].story is told.story and topics[1].story is None
