"""Words in the names of columns that hold names, numbers or addresses of people, by language."""

from __future__ import annotations

import re
import unicodedata
from itertools import pairwise

_WORD = re.compile(r"[A-Z]?[^\W\d_A-Z]+|[A-Z]+(?![^\W\d_A-Z])|[^\W\d_]+")


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


GIVEN_NAMES = _set(
    "firstname lastname surname forename fullname givenname familyname maidenname username "
    "nickname vorname nachname familienname geburtsname prenom nomdefamille apellido apellidos "
    "cognome sobrenome voornaam achternaam fornavn etternavn efternavn fornamn efternamn etunimi "
    "sukunimi imie nazwisko jmeno prijmeni keresztnev vezeteknev imya familiya ad soyad soyadi "
    "имя фамилия отчество фио 姓名 氏名 名前 이름 성명 اسم"
)
"""Names of people, whatever else the column's name says."""

OF_PEOPLE = _set("name names nom nombre nome naam navn namn nimi nev isim")
"""Names of people, unless the column's name says of what else."""

PEOPLE = _set(
    "person people cust emp pers usr pat "
    "patient patients customer customers client clients employee employees member "
    "members user users student students pupil teacher doctor physician nurse author passenger "
    "driver tenant borrower applicant subject participant respondent resident citizen donor "
    "contact holder owner player kunde kunden patientin mitarbeiter mitarbeiterin schueler lehrer "
    "arzt mieter versicherter versicherte cliente clientes paciente pacientes empleado alumno "
    "paziente dipendente utente salarie assure utilisateur klant patienten klient pacjent "
    "kund asiakas пациент клиент сотрудник 患者 客户 顧客"
)

OF_THINGS = _set(
    "product products item items brand model country countries nation state region province "
    "county city cities town species genus plant animal breed company companies firm organization "
    "organisation institution department team school university hospital shop store category "
    "categories type class group variable column field file table event drug medication disease "
    "diagnosis job occupation title color colour material ingredient station airport airline "
    "street language currency artikel produkt produktname land stadt ort firma marke art gruppe "
    "abteilung schule pays ville produit marque espece entreprise pais ciudad producto empresa "
    "especie paese citta prodotto azienda specie stad bedrijf merk gene protein movie film song "
    "album book game channel device machine part server host domain project course ship vessel "
    "admission discharge source disposition location zone vendor branch ward"
)

NUMBERS = _set(
    "id ids pid cid sid eid userid personid recordid "
    "uid uuid guid nr no num number nbr nummer numero numer identifier identification key "
    "code kennung ssn nin nhs mrn iban account acct konto kontonummer passport ausweis license "
    "licence insurance versicherungsnummer steuernummer steuerid dni nie nif cpf curp rut pesel "
    "bsn personnummer cnp aadhaar pan taxid kundennummer patientennummer personalnummer matricule "
    "siret matrikelnummer folio снилс инн номер 番号 身份证"
)

PERSON_NUMBERS = _set(
    "userid personid ssn nin nhs mrn iban passport ausweis versicherungsnummer steuernummer "
    "steuerid dni nie nif cpf curp rut pesel bsn personnummer cnp aadhaar taxid kundennummer "
    "patientennummer personalnummer matrikelnummer снилс инн 身份证"
)
"""Those of ``NUMBERS`` that only people have."""

PHONES = _set(
    "phone phones telephone tel mobile cell cellphone fax telefon telefonnummer handy mobil "
    "rufnummer telefono movil celular telefone portable gsm телефон 电话 電話"
)

ADDRESSES = _set(
    "address addresses addr street adresse anschrift strasse strassenname direccion domicilio "
    "indirizzo endereco rue adres adress osoite cim адрес 地址 住所"
)

REMARKS = _set(
    "remark remarks comment comments note notes text description free message messages complaint "
    "narrative bemerkung bemerkungen kommentar notiz notizen freitext anmerkung beschreibung "
    "remarque commentaire observacion observaciones comentario nota note opmerking uwagi "
    "комментарий 备注"
)


def words_of(name: str) -> frozenset[str]:
    """The words of a column's name in lower case without accents, and each two neighbors joined:
    of FirstName, first, name and firstname."""
    plain = name.replace("ß", "ss").replace("ø", "o").replace("ł", "l")
    for umlaut, written in (("ä", "ae"), ("ö", "oe"), ("ü", "ue")):
        plain = plain.replace(umlaut, written)
    plain = unicodedata.normalize("NFKD", plain)
    plain = "".join(each for each in plain if not unicodedata.combining(each))
    plain = unicodedata.normalize("NFC", plain)
    words = [word.lower() for word in _WORD.findall(plain)]
    pairs = [first + second for first, second in pairwise(words)]
    return frozenset([*words, *pairs, plain.lower()])
