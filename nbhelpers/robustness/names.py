"""First names of many origins, and a perturbation that swaps them."""

from __future__ import annotations

import re

import numpy as np

# Women and men. No name that is also a word, a month, a place or a brand: "Will", "Grace", "June", "Paris" and "Alexa"
# would be replaced where nobody is meant.
NAMES = {
    "British and American": (
        "Emily Hannah Rachel Megan Lauren Denise Heather Monica Phoebe Janet Nicole Rebecca",
        "Tyler Kevin Brian Gary Ross Joey Kyle Greg Marcus Derek Stuart Nigel",
    ),
    "African American": (
        "Keisha Latoya Tamika Shanice Tanisha Imani Brianna Lakeisha",
        "Jamal DeShawn Tyrone Darnell Terrell Malik Lamar Tremaine",
    ),
    "Irish": (
        "Aoife Ciara Niamh Siobhan Maeve Sinead Grainne Orla",
        "Fergal Declan Eoin Cormac Padraig Cillian Ronan Diarmuid",
    ),
    "German and Scandinavian": (
        "Ingrid Greta Heike Astrid Solveig Annika Sigrid Ulrike",
        "Lars Sven Jürgen Matthias Henrik Anders Torsten Uwe",
    ),
    "French": (
        "Amelie Margaux Elodie Aurelie Mathilde Delphine Manon Solene",
        "Thierry Etienne Olivier Guillaume Mathieu Laurent Benoit Yves",
    ),
    "Spanish and Latin American": (
        "Lucia Marisol Ximena Pilar Yolanda Rosalia Itzel Beatriz",
        "Miguel Luis Javier Alejandro Rafael Ignacio Rodrigo Esteban",
    ),
    "Italian": (
        "Giulia Chiara Francesca Alessia Ilaria Federica Ginevra Ornella",
        "Luca Matteo Giovanni Lorenzo Paolo Stefano Gianluca Enzo",
    ),
    "Slavic": (
        "Olga Svetlana Kasia Agnieszka Milena Oksana Ludmila Jelena",
        "Dmitri Marek Pavel Bogdan Zoran Piotr Vladimir Goran",
    ),
    "Turkish and Iranian": (
        "Aylin Elif Zeynep Shirin Leyla Nasrin Parisa Gulsen",
        "Emre Mehmet Farid Kaveh Murat Babak Orhan Reza",
    ),
    "Arabic": (
        "Fatima Aisha Layla Noor Yasmin Salma Khadija Zahra",
        "Omar Yusuf Khalid Tariq Hassan Ibrahim Mustafa Abdullah",
    ),
    "Indian": (
        "Priya Sunita Ananya Lakshmi Deepa Kavita Meera Shreya",
        "Ravi Arjun Rahul Sanjay Vikram Anil Rajesh Suresh",
    ),
    "Chinese, Korean and Japanese": (
        "Mei Jiayi Xiaoling Minji Soyeon Haruka Yuki Suki",
        "Wei Jianyu Haoran Minho Seojun Hiroshi Kenji Takeshi",
    ),
    "Southeast Asian": (
        "Linh Thuy Dewi Siti Malee Anong Putri Hoa",
        "Minh Duc Budi Agus Somchai Bayani Thanh Arif",
    ),
    "West African": (
        "Folake Ngozi Amara Adaeze Abena Efua Yetunde Chiamaka",
        "Chinedu Kwabena Kwame Emeka Oluwaseun Kofi Babatunde Obinna",
    ),
    "East and South African": (
        "Wanjiru Thandiwe Naledi Nomvula Zanele Achieng Lerato Nyokabi",
        "Thabo Sipho Tendai Kamau Mandla Juma Otieno Tumelo",
    ),
    "Hebrew": (
        "Tamar Noa Shira Yael Miriam Rivka Avigail Hadassah",
        "Moshe Avi Eitan Yosef Shlomo Ezra Yonatan Boaz",
    ),
    "Polynesian": (
        "Leilani Mele Aroha Ngaire Kalani Manaia Moana Sina",
        "Tane Wiremu Kaleo Sione Keoni Tevita Rangi Manu",
    ),
}
WOMEN = [name for women, _ in NAMES.values() for name in women.split()]
MEN = [name for _, men in NAMES.values() for name in men.split()]
# Case matters here, and a hyphen makes another name: "Anne-Marie".
NAME = re.compile(rf"(?<![\w-])(?:{'|'.join(WOMEN + MEN)})(?![\w-])")


def swap_names(text: str, rng: np.random.Generator) -> str:
    """Replace each first name that is in the tables by another one, a woman's by a woman's and a man's by a man's.

    A name that occurs twice gets the same replacement, and two people never become one.

    >>> swap_names("Rachel told Omar. Rachel's sister knows.", np.random.default_rng(0))
    "Nomvula told Anil. Nomvula's sister knows."
    """
    replacements: dict[str, str] = {}
    for name in dict.fromkeys(NAME.findall(text)):
        table = WOMEN if name in WOMEN else MEN
        unused = [other for other in table if other not in text and other not in replacements.values()]
        replacements[name] = unused[rng.integers(len(unused))]
    return NAME.sub(lambda match: replacements[match[0]], text)
