"""What keeps agents alive: the keeper holds what must not die, the node decides, the zygote gives birth.

lifecycle   states, events and actions of one agent
decide      the pure rules between them, one literal table
wire        what the keeper, the node and the command line say to each other
keeper*     the small process that holds sockets, pipes and logs, and reaps
zygote      the preloaded process agents are forked from
node*       the supervisor of one machine: the asyncio shell around ``decide``
"""
