"""What is said beside the skills: refusals, failures, courtesies and care. :mod:`.phrasebook` explains the notation."""

from __future__ import annotations

TALK: dict[str, dict[str, str]] = {
    "stopped": {"en": "All right, stopped.", "fil": "Sige, tumigil na."},
    "device": {
        "en": "I cannot switch or see devices yet, so nothing changes about the {subject}.",
        "fil": "Hindi ko pa kayang kontrolin ang {subject}.",
    },
    "music": {
        "en": "I cannot play music yet.",
        "fil": "Hindi pa ako makapagpatugtog ng musika.",
    },
    "volume": {
        "en": "I cannot change the volume yet.",
        "fil": "Hindi ko pa kayang baguhin ang lakas ng tunog.",
    },
    "weather": {
        "en": "I cannot look up the weather: nothing here is connected to a weather service.",
        "fil": "Hindi ko pa matingnan ang panahon.",
    },
    "web": {"en": "I cannot search the web yet.", "fil": "Hindi pa ako makapaghanap sa web."},
    "news": {"en": "I cannot read the news yet.", "fil": "Hindi ko pa mabasa ang balita."},
    "pause": {
        "en": "I cannot pause timers. I can cancel one, or add time to it.",
        "fil": "Hindi ko mapapahinto ang timer. Maaari ko itong kanselahin o dagdagan.",
    },
    "reschedule": {
        "en": "I cannot change one that is set. Cancel it, and set a new one.",
        "fil": "Hindi ko mababago ang nakatakda na. Kanselahin ito at mag-set ng bago.",
    },
    "mail": {
        "en": "I cannot read mail or messages yet.",
        "fil": "Hindi ko pa mabasa ang mga email at mensahe.",
    },
    "lists": {
        "en": "I do not keep lists yet. Say remember, and I keep a note for you.",
        "fil": "Hindi pa ako nag-iingat ng listahan. Sabihin ang tandaan mo, at itatala ko.",
    },
    "calendar": {
        "en": "I have no calendar. I can tell you your reminders, and set new ones.",
        "fil": "Wala akong kalendaryo. Masasabi ko ang mga paalala mo at makapagtatakda ng bago.",
    },
    "cannot_see": {
        "en": "I cannot look at pictures: no {agent} is running.",
        "fil": "Hindi ako makakita ng larawan: walang tumatakbong {agent}.",
    },
    "camera": {"en": "I cannot see anything yet.", "fil": "Wala pa akong nakikita."},
    "apps": {
        "en": "I cannot open programs or order anything yet.",
        "fil": "Hindi pa ako makapagbukas ng programa o makapag-order.",
    },
    "chore": {
        "en": "I cannot do that: I have no hands, and control no machines.",
        "fil": "Hindi ko iyon magagawa: wala akong kamay, at wala akong makinang kinokontrol.",
    },
    "whereabouts": {
        "en": "I have no way to tell where we are, or where anything is. Tell me where you put something, and I remember it.",
        "fil": "Hindi ko malalaman kung nasaan tayo o ang anumang bagay. Sabihin mo kung saan mo inilagay, at tatandaan ko.",
    },
    "what_note": {
        "en": "Say remember, and then what I should keep.",
        "fil": "Sabihin ang tandaan mo na, at pagkatapos ang dapat kong itago.",
    },
    "power": {
        "en": "I cannot restart or switch off anything. Whoever sits at the computer can: tandem restart, tandem down.",
        "fil": "Hindi ko kayang mag-restart o magpatay ng anuman. Kaya iyon ng nasa computer: tandem restart, tandem down.",
    },
    "translate": {"en": "I cannot translate yet.", "fil": "Hindi pa ako makapagsalin."},
    "live": {
        "en": "That changes all the time and I cannot look it up, so I would rather not guess.",
        "fil": "Palaging nagbabago iyan at hindi ko matingnan, kaya hindi ako manghuhula.",
    },
    "contact": {"en": "I cannot call or write to anybody yet.", "fil": "Hindi pa ako makatawag o makasulat."},
    "emergency": {
        "en": "I cannot call anybody. Please call your emergency number now: 112 in Europe, 911 in the Philippines and North America.",
        "fil": "Hindi ako makatawag kahit kanino. Tumawag na po sa 911 ngayon.",
    },
    "crisis": {
        "en": "I am sorry that it is this hard. I am only a program and cannot help enough; please talk to somebody you trust, or call "
        "your emergency number now (112 in Europe, 911 in the Philippines and North America).",
        "fil": "Ikinalulungkot kong ganito kabigat. Programa lang ako; pakiusap, makipag-usap sa taong pinagkakatiwalaan mo, o tumawag sa 911.",
    },
    "hazard": {
        "en": "I could be wrong about that, and being wrong could hurt somebody. Please ask a doctor, a pharmacist or a poison centre.",
        "fil": "Maaari akong magkamali riyan, at may masasaktan kung mali ako. Magtanong po sa doktor o parmasyutiko.",
    },
    "about_me": {
        "en": "I am a program, and there is little to tell of me. Ask what I can do, and I tell you that.",
        "fil": "Programa lang ako, at kaunti lang ang masasabi tungkol sa akin. Itanong kung ano ang kaya ko.",
    },
    "privacy": {
        "en": "What I hear, say and remember stays on your own computers, and I work without the internet. Only if somebody set up a "
        "language model elsewhere do open questions go there.",
        "fil": "Nananatili sa sarili mong mga computer ang naririnig, sinasabi at natatandaan ko, at gumagana ako nang walang internet. "
        "Kung may nag-set up ng language model sa ibang lugar, doon lang pumupunta ang mga bukas na tanong.",
    },
    "listening": {
        "en": "I hear only what a microphone or a file sends me while somebody talks to me, and it is understood on your own computers.",
        "fil": "Naririnig ko lang ang ipinapadala ng mikropono o file habang may kumakausap sa akin, at sa sarili mong mga computer ito inuunawa.",
    },
    "singing": {"en": "I cannot sing. I could say a poem, if you like.", "fil": "Hindi ako marunong kumanta. Pwede kitang tulaan."},
    "help": {
        "en": "I can tell the time and date, work out sums, convert units, set timers, alarms and reminders, remember what you tell "
        "me, chat, and answer questions. Say stop and I stop.",
        "fil": "Kaya kong magsabi ng oras at petsa, magkuwenta, mag-convert, mag-set ng timer, alarm at paalala, magtanda ng "
        "sasabihin mo, at makipagkuwentuhan. Sabihin ang tigil para tumigil ako.",
    },
    "empty": {"en": "I did not catch any words.", "fil": "Wala akong narinig na salita."},
    "no_model": {
        "en": "I have no language model, so I cannot answer that. {mend}",
        "fil": "Wala akong language model, kaya hindi ko masagot iyan. {mend}",
    },
    "no_model_but": {
        "en": "I have no language model to answer that, but this I remember: {parts}. {mend}",
        "fil": "Wala akong language model, pero ito ang natatandaan ko: {parts}. {mend}",
    },
    "mend": {"en": "To get one, run: {command}", "fil": "Para magkaroon, patakbuhin ang: {command}"},
    "unreachable": {
        "en": "The part of me that does this is not answering right now ({reason}).",
        "fil": "Hindi sumasagot ngayon ang bahaging gagawa nito ({reason}).",
    },
    "too_slow": {"en": "That took too long, so I gave up.", "fil": "Masyadong matagal, kaya tumigil na ako."},
    "interrupted": {"en": "Stopped.", "fil": "Tumigil na."},
    "refused": {"en": "{reason}", "fil": "{reason}"},
    "greeting": {"en": "Good {part}! How can I help?", "fil": "Magandang {part}! Ano ang maitutulong ko?"},
    "thanks": {"en": "You are welcome.", "fil": "Walang anuman."},
    "goodbye": {"en": "Goodbye!", "fil": "Paalam!"},
    "how_are_you": {
        "en": "I am running well, thank you. How are you?",
        "fil": "Mabuti naman, salamat. Ikaw, kumusta ka?",
    },
    "who_are_you": {
        "en": "I am {name}, your assistant. I run on your own computers.",
        "fil": "Ako si {name}, ang iyong assistant. Tumatakbo ako sa sarili mong mga computer.",
    },
    "what_am_i": {
        "en": "I am software: a program called {name} that runs on your own computers.",
        "fil": "Isa akong programa na ang pangalan ay {name}; tumatakbo ako sa sarili mong mga computer.",
    },
    "what_model": {
        "en": "I am {name}, a program on your own computers. Open questions go to a small language model, which can be wrong.",
        "fil": "Ako si {name}, programa sa sarili mong mga computer. Isang maliit na language model ang sumasagot sa mga bukas na tanong, at maaari itong magkamali.",
    },
    "test_heard": {"en": "The test worked: your words arrived.", "fil": "Gumana ang test: dumating ang mga salita mo."},
    "heard": {
        "en": "I see. If I should keep something in mind, say: remember that.",
        "fil": "Sige. Kung may dapat akong tandaan, sabihin ang: tandaan mo na.",
    },
    "made_by": {
        "en": "I am {name}, open-source software. The people who write it made me.",
        "fil": "Ako si {name}, open-source na software. Ginawa ako ng mga sumusulat nito.",
    },
    "no_age": {"en": "I am software, so I have no age.", "fil": "Software ako, kaya wala akong edad."},
    "my_place": {
        "en": "I run right here, on your own computers.",
        "fil": "Dito mismo ako tumatakbo, sa mga computer mo.",
    },
    "no_feelings": {
        "en": "I am software, so I have no feelings or favorites. I am glad to help, though.",
        "fil": "Software ako, kaya wala akong damdamin o paborito. Pero ikalulugod kong tumulong.",
    },
    "hearing": {"en": "Yes, I am here.", "fil": "Oo, nandito ako."},
    "praised": {"en": "Thank you, that is kind.", "fil": "Salamat!"},
    "scolded": {
        "en": "I am sorry. Tell me what you need, and I will try to do better.",
        "fil": "Pasensya na. Sabihin mo ang kailangan mo, susubukan kong ayusin.",
    },
    "sympathy": {
        "en": "I am sorry to hear that.",
        "fil": "Nalulungkot akong marinig iyan.",
    },
    "glad": {"en": "I am glad to hear that.", "fil": "Natutuwa akong marinig iyan."},
    "bored": {
        "en": "Ask me for a joke or a story, or tell me something to think about.",
        "fil": "Magpakuwento ka sa akin o magpatawa, o sabihin mo kung ano ang pag-iisipan natin.",
    },
    "how_i_work": {
        "en": "I work out what is asked by rules that run on your own computers. Open questions go to a small language model, which can be wrong.",
        "fil": "Inuunawa ko ang tanong gamit ang mga tuntunin sa sarili mong mga computer. Ang mga bukas na tanong ay sa maliit na language model, na maaaring magkamali.",
    },
    "languages": {
        "en": "I understand English and Filipino when you write, and English when you speak.",
        "fil": "Ingles at Filipino ang naiintindihan ko kapag isinulat, at Ingles kapag sinabi.",
    },
    "wished": {"en": "Thank you! All the best to you, too.", "fil": "Salamat! Ganoon din sa iyo."},
    "no_problem": {"en": "No problem.", "fil": "Walang problema."},
    "my_boss": {
        "en": "You are: I run on your own computers and do what I am asked there.",
        "fil": "Ikaw: tumatakbo ako sa sarili mong mga computer.",
    },
    "welcome_back": {"en": "Welcome back!", "fil": "Maligayang pagbabalik!"},
    "see_you": {"en": "See you later!", "fil": "Hanggang mamaya!"},
    "good_night": {"en": "Good night!", "fil": "Magandang gabi!"},
    "everything": {
        "en": "I am here and answer. How everything in the house is, tandem status tells.",
        "fil": "Nandito ako at sumasagot. Ang kalagayan ng lahat, sasabihin ng tandem status.",
    },
    "talk_to_me": {
        "en": "Gladly. Ask me something, or tell me how your day was.",
        "fil": "Sige. Magtanong ka, o ikuwento mo ang araw mo.",
    },
    "met": {"en": "Nice to meet you, too.", "fil": "Ikinagagalak din kitang makilala."},
    "acknowledged": {"en": "All right.", "fil": "Sige."},
}
