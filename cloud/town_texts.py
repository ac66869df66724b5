"""What the files of a new town say to the technician who opens them, in German and English."""

from __future__ import annotations

from base.messages import Text

TOWN = Text(
    de="""\
Was in der ganzen Stadt gilt. Zuerst ändern: name.
Alle Einstellungen: docs/configuration.md von Messnetz.""",
    en="""\
What holds in the whole town. Change first: name.
All settings: docs/configuration.md of Messnetz.""",
)
PREFIX = Text(
    de="""\
Nur wo ein Broker mehreren Städten dient: ein eigener Anfang aller MQTT-Topics.
Dieselbe Zeile gehört dann in jedes gateways/*.yaml und in collector.yaml.""",
    en="""\
Only where one broker serves several towns: a beginning of its own for all MQTT topics.
The same line then belongs into every gateways/*.yaml and into collector.yaml.""",
)
SITES = Text(
    de="""\
Die Orte: Kennung, Name, Sektor (traffic, buildings, industry, heat, climate) und Lage (WGS 84).
Kennungen haben Kleinbuchstaben, Ziffern und Bindestriche, und bleiben für immer: aus Jägerstraße wird
jaegerstrasse. Zuerst ändern: alles hier, denn es sind Beispiele.""",
    en="""\
The places: id, name, sector (traffic, buildings, industry, heat, climate) and coordinates (WGS 84).
Ids have lower-case letters, digits and hyphens, and stay for ever: Jägerstraße becomes jaegerstrasse.
Change first: everything here, for these are examples.""",
)
GATEWAY = Text(
    de="""\
Alles, was der Rechner {gateway} wissen muss; die Datei heißt wie er, und so steht er auch in hosts.yml.
Prüfen, ohne ein Gerät anzufassen: messnetz gateway check""",
    en="""\
All that the machine {gateway} has to know; the file is named as it is, and so it stands in hosts.yml.
To check it without touching a device: messnetz gateway check""",
)
BROKER = Text(de="Zuerst ändern: der MQTT-Broker der Stadt.", en="Change first: the town's MQTT broker.")
TLS = Text(
    de="Im Betrieb immer mit Zertifikaten; die drei Dateien liegen auf dem Gateway, nie hier.",
    en="In operation always with certificates; the three files lie on the gateway, never here.",
)
BUS = Text(
    de="""\
Zuerst ändern: die Adresse des Zählers oder Umsetzers im Netz. Hängt der Bus an einer seriellen
Schnittstelle, steht statt tcp die Zeile serial hier (Namen zeigt: ls /dev/serial/by-id).""",
    en="""\
Change first: the address of the meter or converter in the network. Where the bus hangs on a serial
port, the line serial stands here instead of tcp (names are shown by: ls /dev/serial/by-id).""",
)
DEVICE = Text(
    de="""\
Zuerst ändern: profile (messnetz device profiles zeigt alle) und unit, die Modbus-Adresse des Zählers.
Vorher am Zähler ausprobieren: messnetz device read""",
    en="""\
Change first: profile (messnetz device profiles lists all) and unit, the meter's Modbus address.
Try it on the meter before: messnetz device read""",
)
OPTIONS = Text(
    de="""\
Wenn nötig: Sekunden zwischen zwei Messungen; darf auf die öffentliche Seite; erster Tag (UTC), an dem
das Gerät hier steht: bei jedem Umzug oder Tausch zu setzen, auf morgen oder später.""",
    en="""\
Where needed: seconds between two samples; may appear on the public page; first day (UTC) on which the
device stands here: to be set with every move or swap, to tomorrow or later.""",
)
HOSTS = Text(
    de="""\
Die Rechner, als Inventar für Ansible: jedes Gateway unter dem Namen seiner Datei in gateways/, dazu der
Sammler. Zuerst ändern: die Adressen. Geheimnisse gehören nicht hierher.""",
    en="""\
The machines, as an inventory for Ansible: each gateway under the name of its file in gateways/, and the
collector. Change first: the addresses. Secrets do not belong here.""",
)
COLLECTOR = Text(
    de="""\
Der Sammler: er nimmt vom Broker an, was die Gateways senden, und schreibt es in die Datenbank.
registry.yaml entsteht aus dieser Stadt: messnetz town registry""",
    en="""\
The collector: it takes from the broker what the gateways send, and writes it into the database.
registry.yaml is made from this town: messnetz town registry""",
)
TLS_COLLECTOR = Text(
    de="Zuerst ändern: der Broker; im Betrieb immer mit Zertifikaten (SECURITY.md von Messnetz), nie hier.",
    en="Change first: the broker; in operation always with certificates (SECURITY.md of Messnetz), never here.",
)
STORE = Text(
    de="""\
Eine Datei genügt für den Anfang und für eine einzelne Schule; eine Stadt nimmt InfluxDB, und dann steht
die Zeile influx1 hier statt embedded.""",
    en="""\
A file is enough for the beginning and for a single school; a town takes InfluxDB, and then the line
influx1 stands here instead of embedded.""",
)
README = Text(
    de="""\
# {name}

Diese Dateien sind die eine Wahrheit über das Messnetz der Stadt. Sie gehören in eine Versionsverwaltung
(`git init`), und `registry.yaml` gehört zusätzlich in die Datensicherung: sie ist die Geschichte.

| Datei | was darin steht |
| --- | --- |
| `town.yaml` | was in der ganzen Stadt gilt |
| `sites.yaml` | die Orte |
| `gateways/<Kennung>.yaml` | ein Gateway mit seinen Bussen und Geräten |
| `hosts.yml` | die Rechner, als Inventar für Ansible |
| `collector.yaml` | der Sammler: Broker, Datenbank |
| `registry.yaml` | entsteht daraus; wann welches Gerät wo stand |

## Was als Nächstes kommt

In diesem Verzeichnis:

1. Ändern, was in den Dateien mit „Zuerst ändern“ bezeichnet ist. Ein weiteres Gateway ist eine weitere Datei
   in `gateways/` und eine Zeile in `hosts.yml`.
2. Alles prüfen. Fehler werden mit Datei, Zeile und Spalte genannt:

        messnetz town check .
        messnetz gateway check gateways/{gateway}.yaml

3. Das erste Register bauen:

        messnetz town registry . --output registry.yaml --first
        messnetz cloud check --offline collector.yaml

4. Den Sammler starten, und auf dem Gateway den Agenten:

        messnetz cloud run collector.yaml
        messnetz gateway run gateways/{gateway}.yaml

5. Nachsehen, was ankommt, und was ankommt, ohne im Register zu stehen:

        messnetz cloud export collector.yaml --latest
        messnetz cloud adopt collector.yaml --dry-run

Nach jeder Änderung: prüfen, das Register weiterführen, und den Sammlern SIGHUP senden (`systemctl reload`). Nicht neu
starten: nur beim Neuladen prüft ein Sammler, dass das Register die Geschichte nicht ändert.

        messnetz town registry . --output registry.yaml
""",
    en="""\
# {name}

These files are the one truth about the town's measuring network. They belong into version control
(`git init`), and `registry.yaml` belongs into your backup as well: it is the history.

| file | what it holds |
| --- | --- |
| `town.yaml` | what holds in the whole town |
| `sites.yaml` | the places |
| `gateways/<id>.yaml` | a gateway with its buses and devices |
| `hosts.yml` | the machines, as an inventory for Ansible |
| `collector.yaml` | the collector: broker, database |
| `registry.yaml` | is made of them: which device stood where, and when |

## What comes next

In this directory:

1. Change what the files mark with "Change first". Another gateway is another file in `gateways/` and a line
   in `hosts.yml`.
2. Check everything. What is wrong is named by file, line and column:

        messnetz town check .
        messnetz gateway check gateways/{gateway}.yaml

3. Build the first registry:

        messnetz town registry . --output registry.yaml --first
        messnetz cloud check --offline collector.yaml

4. Start the collector, and on the gateway the agent:

        messnetz cloud run collector.yaml
        messnetz gateway run gateways/{gateway}.yaml

5. See what arrives, and what arrives without being in the registry:

        messnetz cloud export collector.yaml --latest
        messnetz cloud adopt collector.yaml --dry-run

After every change: check, carry the registry on, and send SIGHUP to the collectors (`systemctl reload`). Do not restart
them: only when it reloads does a collector check that the registry leaves the history as it was.

        messnetz town registry . --output registry.yaml
""",
)
MADE = Text(de="{file} angelegt", en="made {file}")
NEXT = Text(de="Wie es weitergeht, steht in {file}.", en="What comes next stands in {file}.")
