"""Placeholders that WhatsApp writes for media, deleted messages and the like, in many languages.

On iOS, a placeholder begins with an invisible mark (U+200E), and is recognised by it in any language. On Android it has
no mark, and is recognised by its words.
"""

import re
from typing import Literal

from convmodel.data.people import strip_marks

Kind = Literal["text", "media", "system"]

MARK = "\u200e"

_STEMS = (
    *(
        "media",
        "médi",
        "mídi",
        "medien",
        "medier",
        "medya",
        "multimedia",
        "multimédi",
        "медиа",
        "メディア",
        "媒体",
        "媒體",
    ),
    *("미디어", "الوسائط", "מדיה", "मीडिया", "πολυμέσ", "omitted", "ausgeschlossen", "weggelassen", "omitid", "omis"),
    *("omess", "oculto", "weggelaten", "省略", "생략", "uten vedlegg", "multivides", "vynechán"),
)
_TAG = re.compile(
    rf"<[^<>\n/=]{{0,40}}(?:{'|'.join(_STEMS)})[^<>\n/=]{{0,40}}>"
    # In other languages: several words with a non-ASCII letter, or four letters of a script without spaces.
    r"|<\s?(?=[^<>\n]*[^\W\x00-\x7f])[^\W\d_][^<>\n/=\d]{2,40}\s[^<>\n/=\d]{2,40}>"
    r"|<[\u0e00-\u0eff\u3040-\u30ff一-鿿]{4,40}>",
    re.IGNORECASE,
)
_ATTACHED = (
    *("file attached", "datei angehängt", "archivo adjunto", "fichier joint", "file allegato", "arquivo anexado"),
    *("bestand bijgevoegd", "ficheiro anexado", "файл добавлен", "dosya ekli", "plik załączony", "załączony plik"),
    *("bifogad fil", "vedhæftet fil", "fil vedlagt", "liitetiedosto", "soubor byl přiložen", "súbor priložený"),
    *("fi[sș]ier ata[sș]at", "fişier ataşat", "fájl csatolva", "datoteka priložena", "файл додано", "прикачен файл"),
    *("συνημμένο αρχείο", "file terlampir", "fail dilampirkan", "tệp đính kèm", "ไฟล์ที่แนบ(?:มา)?", "添付ファイル"),
    *(
        "文件附件",
        "檔案已附加",
        "파일 첨부됨?",
        "الملف مرفق",
        "קובץ מצורף",
        "פרטי הקובץ",
        "فایل پیوست شد",
        "फ़ाइल संलग्न है",
    ),
)
_FILE = re.compile(
    r"<[^\W\d_][^<>\n:/]{2,30}:\s?[^<>\n]*\.\w{2,5}>"
    r"|(?:IMG|VID|AUD|PTT|STK|DOC|CON)-\d{8}-WA\d+\.\w{2,5} \([^()\n]{3,40}\)"
    rf"|[^\n]{{1,100}}\((?:{'|'.join(_ATTACHED)})\)",
    re.IGNORECASE,
)
_OMITTED = re.compile(
    r"(?:gif|image|video|audio|sticker|document|contact card|bild|videonotiz|dokument|kontaktkarte|imagen|vídeo"
    r"|documento|imagem|figurinha|tarjeta de contacto|vidéo|immagine|adesivo|afbeelding|video note|fichier)"
    r" (?:omitted|weggelassen|omitid[oa]|absente?|omess[oa]|ocultad[oa]|weggelaten|не добавлен)",
    re.IGNORECASE,
)
_PLACE = re.compile(
    r"[^:\n]{1,30}: https://maps\.google\.com/\?q=[-\d.,]+|live location shared|live-standort geteilt", re.IGNORECASE
)
_POLL = re.compile(r"[^\W\d_]{3,12}:\n.*\n\u200e?[^\W\d_]{3,10}: [^\n]*\(\u200e?\d+ [^\W\d_]+\)", re.DOTALL)
_CALL = re.compile(
    r"(?:(?:Voice|Video|Group) call|Anruf|Sprachanruf|Videoanruf|Llamada|Videollamada|Appel(?: vocal| vidéo)?"
    r"|Chamada de (?:voz|vídeo)|Chiamata|Videochiamata), (?:\d[^?\n]{0,30}|No answer|Keine Antwort|Sin respuesta)"
)
_DELETED = re.compile(
    r"(?:this message was deleted(?: by admin .{1,60})?|you deleted this message(?: as admin)?"
    r"|diese nachricht wurde gelöscht|nachricht wurde gelöscht|du hast diese nachricht gelöscht"
    r"|se eliminó este mensaje|eliminaste este mensaje|ce message a été supprimé|vous avez supprimé ce message"
    r"|questo messaggio è stato eliminato|hai eliminato questo messaggio"
    r"|(?:mensagem|es[st]a mensagem foi) apagada|você apagou es[st]a mensagem|dit bericht is verwijderd"
    r"|je hebt dit bericht verwijderd|(?:данное|это) сообщение удалено|вы удалили данное сообщение"
    r"|bu mesaj silindi|bu mesajı sildiniz|ta wiadomość została usunięta|usunięto tę wiadomość"
    r"|(?:この)?メッセージは削除されました|(?:此消息已|您已|你已)删除(?:此消息)?|(?:此訊息已|您已|你已)刪除(?:此訊息)?"
    r"|(?:이 )?메시지는? ?삭제(?:되었|했)습니다|تم حذف هذه الرسالة|यह संदेश हटाया गया"
    r"|(?:detta meddelande|meddelandet) raderades"
    r"|pesan ini telah dihapus|anda telah menghapus pesan ini|mesej ini telah dipadam|null"
    r"|(?:הודעה זו|ההודעה) נמחקה|מחקת הודעה זו|(?:це|дане) повідомлення (?:було )?видалено|ви видалили це повідомлення"
    r"|acest mesaj a fost [șş]ters|ai [șş]ters acest mesaj|tato zpráva byla (?:smazána|odstraněna)"
    r"|táto správa bola (?:odstránená|vymazaná)|tin nhắn này đã bị xóa|bạn đã xóa tin nhắn này"
    r"|ข้อความนี้ถูกลบ(?:แล้ว)?|คุณลบข้อความนี้(?:แล้ว)?|این پیام حذف شد(?:ه است)?|شما این پیام را حذف کردید"
    r"|αυτό το μήνυμα διαγράφηκε|διαγράψατε αυτό το μήνυμα|ezt az üzenetet törölték|törölted ezt az üzenetet"
    r"|tämä viesti poistettiin|poistit tämän viestin|denne besked blev slettet|du slettede denne besked"
    r"|denne meldingen ble slettet|du slettet denne meldingen|aquest missatge s['’]ha (?:suprimit|eliminat)"
    r"|ova je poruka (?:izbrisana|obrisana)|това съобщение (?:бе|беше) изтрито|এই মেসেজটি মুছে ফেলা হয়েছে"
    r"|لقد حذفت هذه الرسالة|आपने यह संदेश हटाया|du raderade (?:det här )?meddelandet"
    r"|waiting for this message(?:\. this may take a while)?|warten auf diese nachricht.{0,60}"
    r"|missed (?:group )?(?:voice |video )?call(?:, .{1,40})?|verpasster (?:sprach|video)anruf.{0,40}"
    r"|llamada perdida|appel manqué|chiamata persa|chamada perdida)[.。]?",
    re.IGNORECASE,
)
_EDITED = re.compile(
    r"[\s\u200e]*<(?=[^<>\n]*[\s\u3040-\u9fff])[^<>\n/=]*(?:edited|bearbeitet|edit[óo]|editad[ao]|modifié|modificato"
    r"|bewerkt|изменено|düzenlendi|edytowan[ao]|redigera[td]|redigeret|编辑|編輯|編集|수정|zmienion[ay]|upraven|szerkeszt|editat|muokattu|disunting|diedit"
    r"|змінено|відредаговано|редактиран|επεξεργ|chỉnh sửa|แก้ไข|ویرایش|تعديل|נערכה|संपादित)[^<>\n/=]*>\s*$"
)
_REMARK_LENGTH = 200
_DOCUMENT = re.compile(r"[^\n]*\.\w{2,5}(?: • [^\n]*)?")


def classify(text: str) -> tuple[str, Kind]:
    """Return the text of a message without placeholders and invisible marks, and the kind of the message.

    The text of a file with a caption is the caption.
    """
    bare = strip_marks(text)
    if _DELETED.fullmatch(bare):
        return bare, "system"
    if _PLACE.fullmatch(bare) or _POLL.fullmatch(bare) or _CALL.fullmatch(bare):
        return bare, "media"
    first, _, caption = text.partition("\n")
    if any(pattern.fullmatch(strip_marks(first)) for pattern in (_TAG, _FILE)):
        return _with_text(caption)
    if text.startswith(MARK) or _OMITTED.fullmatch(bare):
        return bare, "media" if len(text) < 40 or "<" in text else "system"
    before, mark, end = text.rpartition(MARK)
    if mark and any(pattern.fullmatch(end.strip()) for pattern in (_OMITTED, _TAG, _FILE)):
        return ("", "media") if _DOCUMENT.fullmatch(strip_marks(before)) else _with_text(before)
    tail = max(0, len(text) - _REMARK_LENGTH)
    return _with_text(text[:tail] + _EDITED.sub("", text[tail:]))


def _with_text(text: str) -> tuple[str, Kind]:
    bare = strip_marks(text)
    return bare, "text" if bare else "media"
