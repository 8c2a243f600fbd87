"""Named word lists of the intent table, in the notation of :mod:`.templates`."""

from __future__ import annotations

FRAGMENTS = {
    "name": "tandem|jarvis|computer|assistant",
    "ask": "tell me|do you know|say|give me",
    "now": "now|right now|currently|at the moment|today",
    "timer": "timer|timers",
    "alarm": "alarm|alarms|alarma",
    "reminder": "reminder|reminders|paalala",
    "ringer": "<timer>|<alarm>|<reminder>",
    "set": "set|start|create|make|add|put|run|begin|give me|i need|i want|mag-set [ka] ng|mag set ng|maglagay [ka] ng",
    "a": "a|an|the|another|my|one|a new|another new|new",
    "all": "all|all of|every|everything|lahat",
    "cancel": "cancel|stop|delete|remove|clear|turn off|dismiss|end|kanselahin [mo] [ang]|burahin [mo] [ang]",
    "wh": "what|where|who|when|which|how",
    "plain_wh": "what|which|who|where|when",
    "is": "is|are|was|were",
    "device": (
        "lamp|lamps|light|lights|lighting|ilaw|fan|fans|electric fan|bentilador|tv|television|heater|heaters|heating"
        "|aircon|air conditioner|air conditioning|ac|thermostat|radiator|radiators|blinds|curtains|shutters|door|doors"
        "|lock|locks|garage|oven|stove|kettle|coffee maker|coffee machine|plug|plugs|switch|socket|outlet|vacuum"
        "|washing machine|dishwasher|radio|speaker|speakers|window|windows|gate|shower|tap|faucet|everything"
    ),
    "lists": "shopping|to-do|to do|todo|grocery|groceries|task|tasks|packing|wish",
    "apps": (
        "youtube|spotify|netflix|facebook|chrome|firefox|browser|the browser|a browser|gmail|whatsapp|word|excel"
        "|google maps|maps|instagram|tiktok|discord|steam|the terminal|settings"
    ),
    "tongues": (
        "filipino|tagalog|english|spanish|french|german|japanese|chinese|korean|italian|portuguese|russian|cebuano|latin|arabic|hindi"
    ),
    "climate": "temperature|brightness|volume",
    "coin": "coin|heads or tails",
    "die": "die|dice|dices",
    "machine": (
        "vacuum|vacuum cleaner|robot vacuum|robot|dishwasher|washing machine|washer|dryer|oven|microwave|coffee maker|coffee machine|kettle"
        "|sprinkler|sprinklers|mower|heater|fan|aircon|air conditioner|air conditioning|car|tv|television|projector|printer"
    ),
    "food": (
        "coffee|tea|breakfast|lunch|dinner|supper|sandwich|drink|water|beer|wine|juice|milk|snack|food|pizza|cake|eggs|toast|soup|rice"
        "|something to (eat|drink)|meal"
    ),
    "chores": (
        "room|rooms|house|kitchen|bathroom|dishes|laundry|clothes|floor|floors|car|dog|cat|plants|garden|lawn|windows|window|table|bed"
        "|housework|cleaning|shirt|shirts|living room|bedroom|garage|fish"
    ),
    "places": "store|stores|shop|shops|bank|banks|pharmacy|library|mall|museum|restaurant|post office|supermarket|office|gym|pool|school|market",
    "nearby": "airport|work|school|office|station|train station|town|downtown|city|store|mall|hospital|center|centre|gym|beach",
    "weekday": "monday|tuesday|wednesday|thursday|friday|saturday|sunday|lunes|martes|miyerkules|huwebes|biyernes|sabado|linggo",
    "tomorrow": "tomorrow|bukas",
    "faraway": "the day after tomorrow|the day before yesterday",
    "state": "on|off|up|down|open|closed|locked|unlocked|running|still on",
}
