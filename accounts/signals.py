"""What other apps may want to do when people leave or organizations close.

Receivers run in the transaction of what they are told of; what they raise stops it.
"""

from django.dispatch import Signal

# sender: Membership; membership, actor. A member is about to leave or to be removed, or their account is switched off.
member_leaves = Signal()
# sender: Organization; organization, actor. Receivers may raise ``CannotClose``.
organization_closes = Signal()
