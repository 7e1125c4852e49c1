"""Running text without meaning, in the look of early modern French, Latin and English and of modern catalogues."""

from collections.abc import Sequence

import numpy as np

FRENCH = """ainsi alors amour apres auec auoir aussi autre autres aux beau bien bon bonne car ce cela celuy ceste
ceux chascun chose choses comme comment contre corps cours dame dans de dedans depuis des deuant dict dieu dire
dont doulx droict du elle en encore entre esprit est estoit estre eut eux faict faire fait feu fils fin fleur foy
france grace grand grande guerre haut homme hommes honneur iamais ie il ils iour iours iusques la le les leur leurs
lieu long luy madame mais mal main maison mesme mieux mon monde monsieur mort mourir nature ne nom non nostre nous
nuict on or ou oncques ouurage par parce parler parole pas pays peine peu peuple plus point pour pource premier
prince puis quand quatre que quel quelque qui quoy raison rien roy sa sans sainct se selon sera seigneur ses si
soit soleil son sont sous souuent sur tant tel temps terre tous tout toute toutes tres trop trois un une venir
verité vertu veu vie viure voir voix vostre vous vray yeux""".split()
LATIN = """ab ac ad aut autem caelum causa cum corpus de dei deus dicit dicitur domini dominus ecclesia ego enim eius
ergo erat esse est et etiam ex facit fecit filius fuit gratia habet haec hic hoc homo hominis ideo igitur ille in
inter ipse ita iam lege liber libro locum magis magnus modo mortis mundi natura nec non nos nunc omnes omnia omnis
opus per populus post primo pro propter quae quam quia quibus quid quod quoque ratio regis rerum res rex sancti
scilicet secundum sed semper sic sicut sine sub suis sunt super tamen tempore terra tertio tunc ubi unde usque ut
uel uero uerbum uita uirtus""".split()
ENGLISH = """about after all also an and any as at be been before being between both but by came could day did
doth down each earth ever every eye fair fire first for from full gave give good great had hand hath have he heart
her here him his hour house how if in into is it king know lady land last let life light like little long lord love
made man many may men might mine more most much must my never new night no nor not now of old on once one only or
other our out over own part people place poor round said same sea see shall she should side sir so some soul
stood such sweet take than that the thee their them then there these they thine thing this those thou though
three through thus time to true two under unto up upon us very was water way we well went were what when where
which while who whom whose will wind with within without world would ye year yet you your""".split()
MODERN = """analysis annual area average based between case change class compared complete control data day
described design determined different distribution during each effect error estimate evaluation expected factor
figure first following frequency function group growth high higher increase index initial large level line low
lower main mean measured method model national observed obtained order pattern period phase population potential
present previous process rate range ratio reaction region related report response result sample scale section
selected shown significant similar since small source species standard state structure study surface table
temperature test total treatment type under used using value various with within work the of and in to for by on
was were is are that this these from at as an which not also""".split()
CATALOGUE = """acquired after album antique artist attributed bears bequest black bronze brown canvas carved century
chalk circa collection collector coloured condition copper dated depicting drawing early edition engraved engraving
estimate etching exhibited fine foxing frame french from gallery german gilt head heightened impression ink inscribed
italian label landscape laid large late left literature lower margin marked master mounted mount oil old on original
painting panel paper pen pencil period plate portrait probably property provenance published red restored right
sale school scene sheet signed silver slight small standing state studio study trimmed upper verso view wash
watercolour watermark white with woman wood work the of and a by in""".split()

VOCABULARIES = {
    "french": FRENCH,
    "latin": LATIN,
    "english": ENGLISH,
    "modern": MODERN,
    "catalogue": CATALOGUE,
}
_SYLLABLES = "ba ce con da de dis e en fa fi gra i la le li lo ma me mi mo na ne no o pa per po ra re ri ro sa se si so ta te ti to u va ve vi"
_ENDINGS = "l m n nt r re s st t ns ment ble que us um is tion eur oit ant ez"


class Writer:
    """An endless text in one language, from one generator."""

    def __init__(self, generator: np.random.Generator, language: str):
        """Take the language's words, and make up as many again."""
        self._generator = generator
        made = [self._made_up() for _ in range(60)]
        self._words = [*VOCABULARIES[language], *made]

    def _made_up(self) -> str:
        syllables, endings = _SYLLABLES.split(), _ENDINGS.split()
        parts = [self._pick(syllables) for _ in range(int(self._generator.integers(1, 4)))]
        return "".join(parts) + self._pick(endings)

    def _pick(self, items: Sequence[str]) -> str:
        return items[int(self._generator.integers(len(items)))]

    def words(self, count: int) -> list[str]:
        """Return ``count`` words with punctuation and some capitals."""
        numbers = self._generator.integers(len(self._words), size=count)
        marks = self._generator.random(count)
        text = [self._words[i] for i in numbers]
        for i, mark in enumerate(marks):
            if mark < 0.06:
                text[i] += ","
            elif mark < 0.09:
                text[i] += self._pick([".", ".", ":", ";", ".", "?"])
                if i + 1 < count:
                    text[i + 1] = text[i + 1].capitalize()
            elif mark < 0.12:
                text[i] = text[i].capitalize()
        return text

    def phrase(self, low: int = 1, high: int = 5) -> str:
        """Return a few words without punctuation, as for a heading."""
        count = int(self._generator.integers(low, high + 1))
        return " ".join(self._pick(self._words) for _ in range(count))

    def name(self) -> str:
        """Return a capitalised made-up word."""
        return self._made_up().capitalize()


def roman(number: int) -> str:
    """Return a number as a Roman numeral.

    >>> roman(1549)
    'MDXLIX'
    """
    pairs = zip(
        (1000, 900, 500, 400, 100, 90, 50, 40, 10, 9, 5, 4, 1),
        ("M", "CM", "D", "CD", "C", "XC", "L", "XL", "X", "IX", "V", "IV", "I"),
        strict=True,
    )
    text = ""
    for value, sign in pairs:
        text += sign * (number // value)
        number %= value
    return text
