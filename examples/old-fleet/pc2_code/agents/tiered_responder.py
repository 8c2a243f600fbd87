# Answers in tiers. Not touched since Python 2.
import sys

class TieredResponder:
    def run(self):
        print "tiered responder on", sys.argv[1]
        try:
            self.loop()
        except KeyboardInterrupt, error:
            print error
